"""The report of a run says what its files say, and is made of whatever there is."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from balanced_mixup import UsageError, train
from balanced_mixup.report.document import Chart, Gallery, Note, Table
from balanced_mixup.report.run import run_report
from balanced_mixup.report.words import found_and_missed, percent, rare_classes, summary


def blocks(report, section, kind):
    (found,) = [part for part in report.sections if part.name == section]
    return [block for block in found.blocks if isinstance(block, kind)]


def notes(report):
    return [block.text for section in report.sections for block in section.blocks if isinstance(block, Note)]


@pytest.fixture(scope="module")
def report(tiny_run):
    return run_report(tiny_run)


def test_nothing_is_missing(report):
    assert not [note for note in notes(report) if "missing" in note or "cannot" in note]
    expected = {"classes", "training", "class-scores", "confusion", "roc", "precision-recall"}
    assert {chart.name for chart in report.charts()} >= expected


def test_scores_are_those_of_the_run(report, tiny_run):
    scores = json.loads((tiny_run / "metrics.json").read_text())["test"]
    overall, per_class = blocks(report, "scores", Table)
    shown = {row[0]: row[1:] for row in overall.rows}
    mcc = scores["metrics"]["mcc"]
    assert shown["MCC"] == [f"{mcc['value']:.3f}", f"{mcc['low']:.3f} to {mcc['high']:.3f}"]
    for name, _, support, recall, _, precision, _ in per_class.rows:
        row = scores["per_class"][name]
        assert support == str(row["support"])
        for text, score in ((recall, row["recall"]), (precision, row["precision"])):
            assert text == ("–" if score["value"] is None else f"{score['value']:.3f}")


def test_figures_show_the_predictions(report, tiny_run):
    table = pd.read_parquet(tiny_run / "predictions.parquet").query("split == 'test'")
    cells = blocks(report, "confusion", Chart)[0].drawing.numbers
    counted = table.groupby(["label", "prediction"]).size()
    for _, cell in cells.iterrows():
        assert cell["count"] == counted.get((cell["label"], cell["answer"]), 0)
    manifest = pd.read_csv(tiny_run / "manifest.csv")
    bars = blocks(report, "data", Chart)[0].drawing.numbers.set_index("class")["count"]
    assert bars.to_dict() == manifest[manifest["split"] == "train"]["label"].value_counts().to_dict()


def test_sentences_say_what_was_found(report, tiny_run):
    table = pd.read_parquet(tiny_run / "predictions.parquet").query("split == 'test'")
    (listing,) = [block for block in report.sections[0].blocks if hasattr(block, "items")]
    blue = table[table["label"] == "blue"]
    hits = int((blue["prediction"] == "blue").sum())
    assert listing.items[0].startswith("blue (")
    assert f"{hits} of {len(blue)} found" in listing.items[0]


def test_galleries(report, tiny_run):
    table = pd.read_parquet(tiny_run / "predictions.parquet").query("split == 'test'").set_index("image")
    wrong = table[table["label"] != table["prediction"]]
    galleries = blocks(report, "gallery", Gallery)
    shown = {picture.lines[1]: picture for gallery in galleries for picture in gallery.pictures}
    assert all(gallery.filtered for gallery in galleries)
    for name, picture in shown.items():
        row = table.loc[name]
        assert picture.lines[0].startswith(f"{row['label']}: called {row['prediction']}")
        assert set(picture.classes) == {row["label"], row["prediction"]}
        assert picture.views[0].jpeg.startswith(b"\xff\xd8")
    assert len([name for name in shown if name in wrong.index]) == min(len(wrong), 12)
    examples, *mixed = blocks(report, "training-images", Gallery)
    assert [picture.lines[0] for picture in examples.pictures] == ["blue", "green", "red"]
    for gallery in mixed:
        for picture in gallery.pictures:
            assert sum(float(line.split(" %")[0]) for line in picture.lines) == pytest.approx(100, abs=1.5)


@pytest.mark.parametrize("file", ["predictions.parquet", "metrics.json", "manifest.csv", "history.csv", "environment.json"])
@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_a_damaged_run_has_a_report(made_run, file, damage):
    run = made_run(["a", "b", "c"], 60)
    if damage == "gone":
        (run / file).unlink()
    else:
        (run / file).write_bytes((run / file).read_bytes()[:20])
    assert any(file.split(".")[0] in note for note in notes(run_report(run)))


def test_a_run_without_weights_has_a_gallery(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "weights.safetensors").unlink()
    report = run_report(run)
    assert any(note.startswith("What the model looked at cannot be shown") for note in notes(report))
    assert all(len(picture.views) == 1 for gallery in blocks(report, "gallery", Gallery) for picture in gallery.pictures)


def test_images_that_are_gone_or_changed_are_left_out(tiny, blobs, tmp_path):
    data = shutil.copytree(blobs, tmp_path / "data")
    run = train(tiny, data=str(data / "labels.csv"), epochs=1, out=tmp_path / "run").folder.path
    test = pd.read_csv(run / "manifest.csv").query("split == 'test'")["image"].tolist()
    (data / test[0]).unlink()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(data / test[1])
    report = run_report(run)
    shown = {picture.lines[1] for gallery in blocks(report, "gallery", Gallery) for picture in gallery.pictures}
    assert shown.isdisjoint(test[:2])
    shutil.rmtree(data)
    assert sum("This part is missing" in note for note in notes(run_report(run))) == 2


def test_a_class_that_is_not_in_the_test_part(made_run):
    report = run_report(made_run(["a", "b", "c"], 200, present=[1, 2]))
    sentences = report.sections[0].blocks[-1].items
    assert sentences[0].endswith("no image to score, so nothing can be said about it.")


def test_one_class_alone_in_the_test_part(made_run):
    report = run_report(made_run(["a", "b"], 20, present=[0]))
    assert {chart.name for chart in report.charts()} >= {"class-scores", "confusion", "roc"}


def test_probabilities_that_are_no_numbers(made_run):
    run = made_run(["a", "b"], 50)
    table = pd.read_parquet(run / "predictions.parquet")
    table.loc[3, "p_a"] = np.nan
    table.to_parquet(run / "predictions.parquet")
    said = notes(run_report(run))
    assert any("This part is missing" in note for note in said)
    assert len(blocks(run_report(run), "scores", Table)) == 2


def test_a_recipe_of_another_version(made_run):
    run = made_run(["a", "b"], 40)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "flux: 3\n")
    report = run_report(run)
    assert any("another version" in note and "flux" in note for note in notes(report))
    assert "confusion" in {chart.name for chart in report.charts()}
    recipe.write_text("epochs: [1\n")
    with pytest.raises(UsageError, match="to be YAML"):
        run_report(run)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"to be the folder of a run, but it has no recipe\.yaml"):
        run_report(tmp_path)


def test_words():
    table = np.array([[1, 2, 0], [0, 5, 0], [0, 0, 0]])
    recall = {"value": 1 / 3, "low": 0.1, "high": 0.7}
    assert found_and_missed(0, ["a", "b", "c"], table, 1, recall) == (
        "a (1 image to learn from): 1 of 3 found, 33 % (95 % interval 10 % to 70 %). Missed ones were taken for b (2). "
        "Of 1 that were called so, 0 were something else."
    )
    assert found_and_missed(2, ["a", "b", "c"], table, 4, recall).endswith("nothing can be said about it.")
    assert rare_classes(np.array([10, 1, 4])) == [1, 2]
    assert rare_classes(np.array([5, 5])) == []
    assert percent(0.004) == "0.4 %" and percent(0.995) == "99.5 %" and percent(0.5) == "50 %" and percent(1.0) == "100 %"
    scores = {"per_class": {name: {"recall": recall} for name in "abc"}}
    assert len(summary(["a", "b", "c"], table, np.array([1, 50, 4]), scores)) == 3
