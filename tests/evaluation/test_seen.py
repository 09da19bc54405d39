"""Copies of training images are not scored as if they were new."""

import shutil

import pytest
from PIL import Image, ImageOps

from balanced_mixup import Run, evaluate, train
from balanced_mixup.errors import UsageError


@pytest.fixture(scope="module")
def trained(blobs, tiny, tmp_path_factory):
    """A run, whose training images are a copy of `blobs`."""
    folder = tmp_path_factory.mktemp("trained")
    images = shutil.copytree(blobs, folder / "images")
    train(tiny, data=str(images / "labels.csv"), epochs=1, out=folder / "run")
    return folder / "run", images


def other(run, images, folder, name, change):
    """Write a table of one training image, changed, under another name."""
    table = Run.open(run).images
    source = table[(table["split"] == "train") & (table["label"] == "red")]["image"].iloc[0]
    change(Image.open(images / source)).save(folder / name)
    (folder / "other.csv").write_text(f"image,label\n{name},red\n")
    return str(folder / "other.csv")


def test_a_near_copy_of_a_training_image(trained, tmp_path):
    data = other(*trained, tmp_path, "copy.png", lambda image: ImageOps.mirror(image.resize((80, 80))))
    with pytest.raises(UsageError, match=r"1 of the 1 images .* \(1 of them as near copies\), the first is 'copy\.png'"):
        evaluate(trained[0], data=data)
    assert evaluate(trained[0], data=data, near_copies=False, out=tmp_path / "a").scores.n == 1
    assert evaluate(trained[0], data=data, allow_seen=True, out=tmp_path / "b").scores.n == 1


def test_another_file_of_the_same_pixels_is_known_without_the_images(trained, tmp_path, caplog):
    run, images = trained
    hidden = images.rename(tmp_path / "hidden")
    try:
        with pytest.raises(UsageError, match="1 of the 1 images to score were used to train this run, the first"):
            evaluate(run, data=other(run, hidden, tmp_path, "copy.bmp", lambda image: image))
        data = other(run, hidden, tmp_path, "copy.jpg", ImageOps.mirror)
        assert evaluate(run, data=data, out=tmp_path / "out").scores.n == 1
        assert "The images that the run was trained on cannot be read" in caplog.text
    finally:
        hidden.rename(images)


def test_changed_training_images_are_not_compared(trained, tmp_path, caplog):
    run, images = trained
    data = other(run, images, tmp_path, "copy.jpg", ImageOps.flip)
    names = Run.open(run).images["image"]
    kept = {name: (images / name).read_bytes() for name in names}
    for name in names:
        Image.new("RGB", (40, 40)).save(images / name)
    try:
        assert evaluate(run, data=data, out=tmp_path / "out").scores.n == 1
        assert "are missing or have changed" in caplog.text
    finally:
        for name, content in kept.items():
            (images / name).write_bytes(content)
