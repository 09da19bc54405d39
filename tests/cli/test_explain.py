"""`bmixup explain`: a picture an image and a table of them, or nothing at all."""

import shutil
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from balanced_mixup import Classifier
from balanced_mixup.explain.saliency import evidence, positive_share, upsampled
from balanced_mixup.report.explanations import draw
from balanced_mixup.report.figures.style import figure_style


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


class TestExplain:
    def test_files_and_folders(self, command, tiny_run, blobs, tmp_path):
        (tmp_path / "new").mkdir()
        for name in ("001.png", "065.png"):
            shutil.copy(blobs / name, tmp_path / "new")
        out = tmp_path / "deep" / "explained"
        status, printed, _ = command("explain", tiny_run, tmp_path / "new", blobs / "085.png", "--out", out)
        assert status == 0
        assert "3 pictures and explanations.csv are in" in printed
        assert "feature map is 4 x 4" in printed
        assert files_in(out) == ["001.png", "065.png", "085.png", "explanations.csv"]
        table = pd.read_csv(out / "explanations.csv", dtype={"picture": str})
        assert list(table.columns) == [
            "image", "prediction", "probability", "target", "target_probability", "positive_share", "map_side", "picture",
        ]  # fmt: skip
        assert table["image"].tolist() == [str(tmp_path / "new/001.png"), str(tmp_path / "new/065.png"), str(blobs / "085.png")]
        assert table["picture"].tolist() == ["001.png", "065.png", "085.png"]
        assert (table["target"] == table["prediction"]).all()
        for name in table["picture"]:
            with Image.open(out / name) as picture:
                picture.load()
                assert picture.width > 2 * picture.height

    def test_numbers_are_those_of_predict_and_of_the_evidence(self, command, tiny_run, blobs, tmp_path):
        images = [blobs / f"{number:03}.png" for number in (0, 60, 88)]
        command("explain", tiny_run, *images, "--out", tmp_path / "out", "--top", 3)
        command("predict", tiny_run, *images, "--out", tmp_path / "p.csv")
        table, predicted = pd.read_csv(tmp_path / "out/explanations.csv"), pd.read_csv(tmp_path / "p.csv")
        assert len(table) == 9
        assert table["prediction"][::3].tolist() == predicted["prediction"].tolist() == table["target"][::3].tolist()
        for image, rows in table.groupby("image"):
            own = predicted[predicted["image"] == image].iloc[0]
            assert rows["target_probability"].is_monotonic_decreasing
            assert rows["target_probability"].tolist() == pytest.approx([own[f"p_{name}"] for name in rows["target"]], abs=1e-5)
            assert (rows["probability"] == rows["target_probability"].iloc[0]).all()
        classifier = Classifier.load(tiny_run)
        pixels = np.stack([np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR)) for path in images])
        targets = table["target"].map(classifier.card.classes.index).to_numpy()
        found = evidence(classifier, pixels, np.repeat(np.arange(3), 3), targets)
        assert table["positive_share"].to_numpy() == pytest.approx(positive_share(found), abs=1e-5)

    def test_probabilities_as_the_model_gives_them(self, command, tiny_run, blobs, tmp_path):
        arguments = (blobs / "070.png", "--no-calibrate", "--out")
        assert command("explain", tiny_run, *arguments, tmp_path / "out")[0] == 0
        command("predict", tiny_run, *arguments, tmp_path / "p.csv")
        found, predicted = pd.read_csv(tmp_path / "out/explanations.csv").iloc[0], pd.read_csv(tmp_path / "p.csv").iloc[0]
        assert found["probability"] == pytest.approx(predicted[f"p_{found['prediction']}"], abs=1e-5)

    def test_one_class_for_all(self, command, tiny_run, blobs, tmp_path):
        assert command("explain", tiny_run, blobs / "000.png", "--out", tmp_path / "out", "--target", "blue")[0] == 0
        table = pd.read_csv(tmp_path / "out/explanations.csv")
        assert table["target"].tolist() == ["blue"]
        assert table["probability"].iloc[0] >= table["target_probability"].iloc[0]

    def test_images_of_one_name_have_a_picture_each(self, command, tiny_run, blobs, tmp_path):
        copies = ["a/x.png", "b/x.png", "b/X.png", "c/x-2.png", "d/x.bmp"]
        for number, copy in enumerate(copies):
            (tmp_path / copy).parent.mkdir(exist_ok=True)
            with Image.open(blobs / f"{number:03}.png") as image:
                image.save(tmp_path / copy)
        assert command("explain", tiny_run, *(tmp_path / copy for copy in copies), "--out", tmp_path / "out")[0] == 0
        table = pd.read_csv(tmp_path / "out/explanations.csv")
        assert table["picture"].tolist() == ["x.png", "x-2.png", "X-3.png", "x-2-2.png", "x-4.png"]
        assert set(files_in(tmp_path / "out")) == {*table["picture"], "explanations.csv"}


class TestPicture:
    @pytest.mark.parametrize("name", ["$\\frac$", "😀", "<b>", "melanoma " * 30])
    def test_any_class_name_can_be_drawn(self, name):
        maps = np.stack([np.zeros((8, 8), np.float32), upsampled(np.eye(4, dtype=np.float32)[None], 8)[0]])
        shown = pd.DataFrame(
            {"prediction": [name] * 2, "probability": [0.874] * 2, "target": [name, "b"], "target_probability": [0.874, 0.1]}
        )
        figure = draw(np.full((8, 8, 3), 90, np.uint8), maps, shown)
        with figure_style():
            figure.canvas.draw()
        titles = [axes.get_title(loc="left") for axes in figure.axes[:3]]
        before, nothing, something = titles
        assert before.startswith("Predicted: ") and before.endswith("(87%)")
        assert nothing.startswith("No evidence for ")
        assert something == "Evidence for b (10%)"
        boxes = [axes._left_title.get_window_extent() for axes in figure.axes[:3]]
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
        assert boxes[-1].x1 <= figure.bbox.width and max(box.y1 for box in boxes) <= figure.bbox.height + 1


class TestBadInput:
    def test_bad_images_are_all_named_and_nothing_is_written(self, command, tiny_run, blobs, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in/empty.png").write_bytes(b"")
        (tmp_path / "in/text.jpg").write_text("no image")
        status, _, err = command("explain", tiny_run, blobs / "000.png", tmp_path / "in", "--out", tmp_path / "out")
        assert status == 2
        assert "empty.png" in err and "text.jpg" in err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--target", "blu"], "to be a class of the run, blue, green, red, but got 'blu'. Did you mean 'blue'?"),
            (["--target", "red", "--top", 2], "Expected `--target` or `--top`, but got both"),
            (["--top", 0], "Expected `top` from 1 to 3, but got 0"),
            (["--top", 4], "Expected `top` from 1 to 3, but got 4"),
        ],
    )
    def test_classes_that_are_none(self, command, tiny_run, blobs, tmp_path, arguments, message):
        status, _, err = command("explain", tiny_run, blobs / "000.png", "--out", tmp_path / "out", *arguments)
        assert (status, message in err) == (2, True)
        assert not (tmp_path / "out").exists()

    def test_a_folder_with_something_in_it_is_left_alone(self, command, tiny_run, blobs, tmp_path):
        (tmp_path / "out").mkdir()
        assert command("explain", tiny_run, blobs / "000.png", "--out", tmp_path / "out")[0] == 0
        before = files_in(tmp_path / "out")
        for out in (tmp_path / "out", tmp_path / "out/000.png"):
            status, _, err = command("explain", tiny_run, blobs / "001.png", "--out", out)
            assert (status, "Expected `out` to be a new or empty folder" in err) == (2, True)
        assert files_in(tmp_path / "out") == before

    def test_no_run_no_image_no_folder(self, command, tiny_run, blobs, tmp_path):
        status, _, err = command("explain", tmp_path / "none", blobs / "000.png", "--out", tmp_path / "out")
        assert (status, "Expected a run folder" in err) == (2, True)
        status, _, err = command("explain", tiny_run, tmp_path / "none.png", "--out", tmp_path / "out")
        assert (status, "no such file or folder" in err) == (2, True)
        status, _, err = command("explain", tiny_run, blobs / "000.png")
        assert (status, "--out" in err) == (2, True)

    def test_a_folder_that_cannot_be_written(self, command, tiny_run, blobs, tmp_path):
        (tmp_path / "file").write_text("")
        status, _, err = command("explain", tiny_run, blobs / "000.png", "--out", tmp_path / "file" / "out")
        assert (status, "could not be written to" in err) == (1, True)


def test_help_teaches(command):
    out = " ".join(command("explain", "--help")[1].split())
    for words in ("What it does not show", "does not prove", "Selvaraju", "Adebayo"):
        assert words in out
