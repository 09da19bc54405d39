"""Predictions of images that are given in any way, and what is said of those that are not predicted."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from balanced_mixup import Classifier, DataError, Run, UsageError, predict
from balanced_mixup.table_files import restored


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return Classifier.load(tiny_run)


@pytest.fixture(scope="module")
def files(blobs):
    return sorted(blobs.glob("08*.png"))


class TestClassifier:
    def test_any_kind_of_image_has_the_same_prediction(self, classifier, files, tiny_run):
        expected = classifier.predict(files)
        assert expected.images == tuple(map(str, files))
        assert expected.classes == Run.open(tiny_run).classes
        pictures = [Image.open(file) for file in files]
        arrays = [np.asarray(picture.convert("RGB")) for picture in pictures]
        mixed = [files[0], *pictures[1:3], *arrays[3:]]
        for images in (list(map(str, files)), pictures, arrays, np.stack(arrays), mixed):
            found = classifier.predict(images)
            assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
        assert classifier.predict(arrays[0]).images == ("image 0",)
        assert classifier.predict(pictures[1]).images == (str(files[1]),)

    def test_the_result_is_short_and_a_table(self, classifier, files):
        found = classifier.predict(files)
        assert repr(found).startswith(f"ImagePredictions({len(files)} images, 3 classes; predicted ")
        table = found.to_frame()
        assert list(table.columns) == ["image", "prediction", *(f"p_{name}" for name in found.classes)]
        assert table["prediction"].tolist() == found.predicted.tolist()
        assert repr(classifier) == "Classifier(test_efficientnet, 3 classes, 32 px, on cpu)"
        assert found._repr_html_().startswith("<table")

    def test_grey_and_turned_images_are_read_as_in_training(self, classifier, tmp_path):
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 255, (40, 60), dtype=np.uint8)).save(tmp_path / "grey.png")
        turned = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
        exif = turned.getexif()
        exif[274] = 6
        turned.save(tmp_path / "turned.png", exif=exif)
        deep = Image.fromarray(rng.integers(0, 65535, (40, 60), dtype=np.uint16))
        deep.save(tmp_path / "deep.png")
        paths = sorted(tmp_path.glob("*.png"))
        from_memory = classifier.predict([Image.open(path) for path in paths]).probabilities
        assert from_memory == pytest.approx(classifier.predict(paths).probabilities, abs=1e-6)
        grey = np.asarray(Image.open(tmp_path / "grey.png"))
        assert classifier.predict(grey).probabilities[0] == pytest.approx(from_memory[1], abs=1e-6)

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.zeros((9, 9, 3), np.float32), r"image 0 to be uint8 of shape \(H, W, 3\).*float32.*Values from 0 to 1"),
            (np.zeros((9, 9, 4), np.uint8), r"but got uint8 of shape \(9, 9, 4\)"),
            (np.zeros((3, 9, 9), np.uint8), r"but got uint8 of shape \(3, 9, 9\)"),
            (np.zeros((0, 9, 3), np.uint8), r"but got uint8 of shape \(0, 9, 3\)"),
            ([3], "image 0 to be a path, an image of Pillow or an array uint8"),
            ([], "Expected at least one image, but got none|expected images, got no paths"),
        ],
    )
    def test_what_is_no_image(self, classifier, image, message):
        with pytest.raises((UsageError, DataError), match=message):
            classifier.predict(image)

    def test_all_bad_images_are_named(self, classifier, tmp_path, files):
        (tmp_path / "empty.png").write_bytes(b"")
        damaged = Image.open(files[0])
        damaged.fp.close()
        images = [tmp_path / "empty.png", np.zeros((9, 9), np.uint8), tmp_path / "gone.png"]
        with pytest.raises(DataError, match=r"(?s)empty\.png.*gone\.png"):
            classifier.predict(images)

    def test_prepared_pixels_of_another_size_or_type(self, classifier):
        assert classifier.probabilities(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 3)
        with pytest.raises(UsageError, match=r"uint8 of shape \(N, 32, 32, 3\).*got uint8 of shape \(2, 64, 64, 3\)"):
            classifier.probabilities(np.zeros((2, 64, 64, 3), np.uint8))
        with pytest.raises(UsageError, match=r"got float32 of shape.*`Classifier\.predict` takes images of any size"):
            classifier.probabilities(np.zeros((2, 32, 32, 3), np.float32))


class TestBlocks:
    """Files are decoded some at a time; nothing else shows it."""

    @pytest.fixture
    def sizes(self, monkeypatch):
        """Blocks of three images, and how many each prediction has had."""
        sizes = []
        real = Classifier.probabilities

        def probabilities(self, pixels, rows=None, **options):
            sizes.append(pixels.shape[0])
            return real(self, pixels, rows, **options)

        monkeypatch.setattr("balanced_mixup.runs.predicted_images._BLOCK_BYTES", 3 * 32 * 32 * 3)
        monkeypatch.setattr("balanced_mixup.runs.predicted_images.eval_batch_size", lambda height, width: 1)
        monkeypatch.setattr(Classifier, "probabilities", probabilities)
        return sizes

    def test_give_the_same(self, classifier, files, sizes, tmp_path, caplog):
        shutil.copy(files[0], tmp_path / "again.png")
        images = [*files[:7], tmp_path / "again.png"]
        arrays = [np.asarray(Image.open(image).convert("RGB")) for image in images]
        found = classifier.predict(images)
        assert (sizes, found.images) == ([3, 3, 2], tuple(map(str, images)))
        assert "again.png" in caplog.text and "identical images" in caplog.text  # in another block than its copy
        assert found.probabilities == pytest.approx(classifier.predict(arrays).probabilities, abs=1e-6)

    def test_of_which_images_are_left_out(self, classifier, files, sizes, tmp_path, caplog):
        names = [f"{row}.png" for row in range(10)]
        for row, name in enumerate(names):
            shutil.copy(files[row], tmp_path / name)
        for row in (1, 6, 7, 8):
            (tmp_path / names[row]).write_bytes(b"")
        images = [tmp_path / name for name in names]
        good = [images[row] for row in (0, 2, 3, 4, 5, 9)]
        found = classifier.predict(images, exclude_bad=True)
        assert (sizes, found.images) == ([2, 3, 1], tuple(map(str, good)))
        assert [name for name, _ in found.excluded] == [str(images[row]) for row in (1, 6, 7, 8)]
        assert caplog.text.count("Left out 4 of 10 images") == 1
        assert found.probabilities == pytest.approx(classifier.predict(good).probabilities, abs=1e-6)

    def test_of_which_one_is_refused(self, classifier, files, sizes, tmp_path):
        (tmp_path / "empty.png").write_bytes(b"")
        (tmp_path / "text.png").write_text("no image")
        with pytest.raises(DataError, match=r"(?s)empty\.png.*text\.png|text\.png.*empty\.png") as caught:
            classifier.predict([*files[:4], tmp_path / "empty.png", *files[4:8], tmp_path / "text.png"])
        assert "--exclude-bad" in str(caught.value)
        assert sizes == [3]  # nothing is predicted in vain


class TestOut:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx"])
    def test_the_suffix_is_the_format(self, command, tiny_run, files, tmp_path, suffix):
        out = tmp_path / f"p{suffix}"
        status, printed, _ = command("predict", tiny_run, files[0], "--out", out)
        assert (status, f"1 prediction is in {out}" in printed) == (0, True)
        table = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".xlsx": pd.read_excel}[suffix](out)
        assert list(table.columns) == ["image", "prediction", "p_blue", "p_green", "p_red"]

    @pytest.mark.parametrize(("out", "message"), [("p.json", "to end with .csv"), ("old.csv", "add `--overwrite`")])
    def test_it_is_refused_before_an_image_is_read(self, command, tiny_run, tmp_path, out, message):
        (tmp_path / "old.csv").write_text("mine")
        (tmp_path / "bad.png").write_bytes(b"")  # would be reported instead
        status, _, err = command("predict", tiny_run, tmp_path / "bad.png", "--out", tmp_path / out)
        assert (status, message in err, "bad.png" in err) == (2, True, False)
        assert (tmp_path / "old.csv").read_text() == "mine"

    def test_overwrite(self, command, tiny_run, files, tmp_path):
        (tmp_path / "old.csv").write_text("mine")
        assert command("predict", tiny_run, files[0], "--out", tmp_path / "old.csv", "--overwrite")[0] == 0
        assert len(pd.read_csv(tmp_path / "old.csv")) == 1

    def test_names_that_break_a_table_do_not(self, tiny_run, files, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        names = ["a\rb.png", "c\nd.png", 'q"u,o.png', "=cmd|' !A1.png", "@x.png"]
        for name in names:
            shutil.copy(files[0], name)
        found = predict(tiny_run, names, out="p.csv")
        assert found.images == tuple(names)
        table = pd.read_csv("p.csv")
        assert [restored(name) for name in table["image"]] == names
        assert table["image"].str.startswith(("=", "@")).sum() == 0


class TestExcludeBad:
    @pytest.fixture
    def folder(self, files, tmp_path):
        shutil.copy(files[0], tmp_path / "good.png")
        (tmp_path / "bad.png").write_bytes(files[1].read_bytes()[:200])
        return tmp_path

    def test_a_broken_image_stops_and_the_way_out_is_named(self, command, tiny_run, folder):
        status, _, err = command("predict", tiny_run, folder, "--out", folder / "p.csv")
        assert (status, (folder / "p.csv").exists()) == (2, False)
        assert "bad.png: truncated or damaged" in err and "To predict the others: --exclude-bad" in err

    def test_the_others_are_predicted(self, command, tiny_run, folder):
        status, _, err = command("predict", tiny_run, folder, "--out", folder / "p.csv", "--exclude-bad")
        assert (status, "Left out 1 of 2 images that cannot be read." in err, "bad.png: truncated" in err) == (0, True, True)
        assert pd.read_csv(folder / "p.csv")["image"].tolist() == [str(folder / "good.png")]
        excluded = pd.read_csv(folder / "p-excluded.csv")
        assert excluded["image"].tolist() == [str(folder / "bad.png")]
        assert excluded["problem"].str.startswith("damaged image: ").all()
        # The list is no more overwritten unasked than the table, and goes with it.
        (folder / "p.csv").unlink()
        arguments = ("predict", tiny_run, folder / "good.png", "--out", folder / "p.csv", "--exclude-bad")
        status, _, err = command(*arguments)
        assert (status, "p-excluded.csv' exists" in err) == (2, True)
        assert command(*arguments, "--overwrite")[0] == 0
        assert (folder / "p.csv").exists() and not (folder / "p-excluded.csv").exists()

    def test_none_would_remain(self, command, tiny_run, folder):
        status, _, err = command("predict", tiny_run, folder / "bad.png", "--out", folder / "p.csv", "--exclude-bad")
        assert (status, "truncated or damaged" in err, "--exclude-bad" in err) == (2, True, False)

    def test_in_python(self, classifier, folder):
        images = [folder / "bad.png", np.zeros((9, 9, 3), np.uint8), Image.open(folder / "good.png")]
        expected = classifier.predict(images[1:])
        for several in (images, images[:1] + images[2:]):
            with pytest.raises(DataError, match="exclude_bad=True"):
                classifier.predict(several)
        for several in ([*images, folder / "gone.png"], [folder / "good.png", folder / "gone.png"]):
            with pytest.raises(DataError, match="no such file"):  # a name is misspelt
                classifier.predict(several, exclude_bad=True)
        found = classifier.predict(images, exclude_bad=True)
        assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
        assert [name for name, _ in found.excluded] == [str(folder / "bad.png")]


class TestLeftOut:
    def test_files_that_are_no_images_are_counted(self, command, tiny_run, files, tmp_path):
        for name in ("a.heic", "b.heic", "c.dcm", "notes"):
            (tmp_path / name).write_bytes(b"something")
        shutil.copy(files[0], tmp_path / "good.png")
        shutil.copy(files[1], tmp_path / "IMG_1")
        status, printed, err = command("predict", tiny_run, tmp_path, "--out", tmp_path / "p.csv")
        assert (status, "1 prediction is in" in printed) == (0, True)
        assert "left out 5 files that are not images by the suffix (2 .heic, 2 without a suffix, 1 .dcm)" in err
        assert f"Images without a suffix: 1, such as {tmp_path / 'IMG_1'}. Give them one, or name the files" in err
        assert "Convert photographs of another format to PNG or JPEG" in err

    def test_a_folder_of_such_files_alone(self, command, tiny_run, tmp_path):
        (tmp_path / "a.avif").write_bytes(b"something")
        status, _, err = command("predict", tiny_run, tmp_path, "--out", tmp_path / "p.csv")
        assert (status, "found none in it, but 1 file that is not an image by the suffix (1 .avif)" in err) == (2, True)
