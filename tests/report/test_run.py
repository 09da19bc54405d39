"""The report of a run says what its files say, and is made of whatever there is."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from balanced_mixup import UsageError, evaluate
from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.methods import Cmo
from balanced_mixup.metrics import METRICS, Metric, confusion
from balanced_mixup.report.calibration_view import calibration_view
from balanced_mixup.report.contents import read_evaluation, read_run
from balanced_mixup.report.data_view import training_curves_view
from balanced_mixup.report.document import Chart, Gallery, Listing, Note, Table, Text
from balanced_mixup.report.errors_view import errors_view
from balanced_mixup.report.run_report import evaluation_report, run_report
from balanced_mixup.report.scores_view import confusion_view, curves_view, scores_view
from balanced_mixup.report.summary_view import summary
from balanced_mixup.report.training_view import training_view
from balanced_mixup.report.words import class_sentence, percent
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.interval import Interval
from balanced_mixup.words import counted, listed


def blocks(report, section, kind):
    (found,) = [part for part in report.sections if part.name == section]
    return [block for block in found.blocks if isinstance(block, kind)]


def notes(report):
    return [block.text for section in report.sections for block in section.blocks if isinstance(block, Note)]


@pytest.fixture
def report(tiny_report):
    return tiny_report


def test_nothing_is_missing(report):
    assert not [note for note in notes(report) if "missing" in note or "cannot" in note]
    expected = {"classes", "training", "class-scores", "confusion", "roc", "precision-recall"}
    assert {chart.name for chart in report.charts()} >= expected


def test_scores_are_those_of_the_run(report, tiny_run):
    scores = json.loads((tiny_run / "metrics.json").read_text())["test"]
    overall, meanings, decisions, ranking = blocks(report, "scores", Table)
    assert {row[0] for row in meanings.rows} == {row[0] for row in overall.rows}
    shown = {row[0]: row[1:] for row in overall.rows}
    mcc = scores["metrics"]["mcc"]
    assert shown["MCC"] == [f"{mcc['value']:.3f}{'*' if mcc.get('warning') else ''}", f"{mcc['low']:.3f} to {mcc['high']:.3f}"]
    for name, _, support, *texts in decisions.rows:
        row = scores["per_class"][name]
        assert support == str(row["support"])
        assert texts == [written(row[score]) for score in ("recall", "specificity", "precision", "npv")]
    for name, _, *texts in ranking.rows:
        row = scores["per_class"][name]
        assert texts == [written(row[score]) for score in ("auc", "average_precision", "f1")]


def written(score):
    """Return a score of metrics.json as a report writes it."""
    if score["value"] is None or score["low"] is None:  # without an interval a few images look like certainty
        return "–"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]" + ("*" if score.get("warning") else "")


def test_figures_show_the_predictions(report, tiny_run):
    table = pd.read_parquet(tiny_run / "predictions.parquet").query("split == 'test'")
    cells = blocks(report, "confusion", Chart)[0].drawing.numbers
    counted = table.groupby(["label", "prediction"]).size()
    for _, cell in cells.iterrows():
        assert cell["count"] == counted.get((cell["label"], cell["prediction"]), 0)
    manifest = pd.read_csv(tiny_run / "manifest.csv")
    (chart,) = (chart for chart in blocks(report, "data", Chart) if {"class", "count"} <= set(chart.drawing.numbers))
    bars = chart.drawing.numbers.set_index("class")["count"]
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
    assert all(gallery.filtered and gallery.scale.jpeg.startswith(b"\xff\xd8") for gallery in galleries)
    for name, picture in shown.items():
        row = table.loc[name]
        assert picture.lines[0].startswith(f"{row['label']}: predicted {row['prediction']}")
        assert set(picture.classes) == {row["label"], row["prediction"]}
        assert picture.views[0].jpeg.startswith(b"\xff\xd8")
    assert len([name for name in shown if name in wrong.index]) == min(len(wrong), 12)
    examples, *mixed = blocks(report, "training-images", Gallery)
    assert [picture.lines[0] for picture in examples.pictures] == ["blue", "green", "red"]
    for gallery in mixed:
        for picture in gallery.pictures:
            assert sum(float(line.split("%")[0]) for line in picture.lines) == pytest.approx(100, abs=1.5)


def test_mixed_images_are_of_the_first_stage_that_mixes(tiny_run):
    run = read_run(tiny_run)
    recipe = run.recipe.model_copy(update={"method": Cmo(probability=1.0, defer="drw"), "epochs": 12})
    _, mixed = training_view(replace(run, recipe=recipe))
    assert mixed.caption.startswith("The most strongly mixed samples of the first batch of epoch 4, with their targets")
    assert all(len(picture.lines) == 2 for picture in mixed.pictures)


@pytest.mark.parametrize("file", ["predictions.parquet", "manifest.csv"])
def test_a_damaged_run_has_a_report(made_run, file):
    run = made_run(["a", "b", "c"], 60)
    (run / file).unlink()
    assert any(file.split(".")[0] in note for note in notes(run_report(run)))


@pytest.mark.parametrize("file", ["predictions.parquet", "metrics.json", "manifest.csv", "history.csv", "environment.json"])
def test_files_that_are_cut_off_are_named(made_run, file):
    run = made_run(["a", "b", "c"], 60)
    (run / file).write_bytes((run / file).read_bytes()[:20])
    assert any(file in reason for reason in read_run(run).missing)


def test_a_run_without_weights_has_a_gallery(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "weights.safetensors").unlink()
    note, *_ = shown = errors_view(read_run(run))
    assert note.text.startswith("Grad-CAM maps cannot be shown")
    galleries = [block for block in shown if isinstance(block, Gallery)]
    assert all(len(picture.views) == 1 for gallery in galleries for picture in gallery.pictures)
    assert all(gallery.scale is None for gallery in galleries)


@pytest.fixture
def moved_data(tiny_run, blobs, tmp_path):
    """A copy of the run whose data are a copy, too, and the folder of the data."""
    data = shutil.copytree(blobs, tmp_path / "data")
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))
    (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace(str(blobs), str(data)))
    return run, data


def test_images_that_are_gone_or_changed_are_left_out(moved_data):
    run, data = moved_data
    test = pd.read_csv(run / "manifest.csv").query("split == 'test'")["image"].tolist()
    (data / test[0]).unlink()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(data / test[1])
    shown = [block for block in errors_view(read_run(run)) if isinstance(block, Gallery)]
    assert {picture.lines[1] for gallery in shown for picture in gallery.pictures}.isdisjoint(test[:2])
    shutil.rmtree(data)
    for view in (training_view, errors_view):
        with pytest.raises(BalancedMixupError):
            view(read_run(run))


def test_one_image_that_is_gone_is_not_missed(moved_data):
    run, data = moved_data
    table = data / "labels.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if not line.startswith("085.png")) + "\n")
    assert len(training_view(read_run(run))[0].pictures) == 3


def test_a_class_that_is_not_in_the_test_part(made_run):
    (listing,) = [
        block for block in summary(read_run(made_run(["a", "b", "c"], 200, present=[1, 2]))) if isinstance(block, Listing)
    ]
    assert listing.items[0].endswith("none of the scored images is of this class, so there is no recall.")


def test_one_class_alone_in_the_test_part(made_run):
    run = read_run(made_run(["a", "b"], 20, present=[0]))
    assert scores_view(run) and confusion_view(run) and curves_view(run)


def test_predictions_that_are_no_numbers_are_left_out(made_run):
    run = made_run(["a", "b"], 50)
    table = pd.read_parquet(run / "predictions.parquet")
    table.loc[3, "p_a"] = np.nan
    table.to_parquet(run / "predictions.parquet")
    contents = read_run(run)
    assert any(
        "1 of 50 predictions in predictions.parquet are not finite and were excluded" in text for text in contents.missing
    )
    assert confusion_view(contents)[0].drawing.numbers["count"].sum() == 49


@pytest.mark.parametrize(
    "file, content",
    [
        ("metrics.json", '{"test": {}}'),
        ("metrics.json", '{"test": {"n": 1, "groups": null, "metrics": {"mcc": {}}, "per_class": {}}}'),
        ("history.csv", "epoch,learning_rate,train_loss,mcc,balanced_accuracy\n1,0.1,0.2,x,0.4\n"),
        ("history.csv", "epoch,learning_rate,train_loss,balanced_accuracy\n1,0.1,0.2,0.4\n"),
        ("environment.json", "[1"),
    ],
)
def test_files_with_other_content_are_named(made_run, file, content):
    run = made_run(["a", "b"], 50)
    (run / file).write_text(content)
    assert any(f"{file} cannot be read" in reason for reason in read_run(run).missing)


def test_a_metric_that_this_version_does_not_know(made_run):
    run = made_run(["a", "b"], 50)
    scores = json.loads((run / "metrics.json").read_text())
    scores["test"]["metrics"]["flux"] = {"value": 1.0, "low": 0.5, "high": 1.0}
    (run / "metrics.json").write_text(json.dumps(scores))
    assert "flux" not in [row[0] for row in scores_view(read_run(run))[0].rows]


def test_metrics_of_plugins_are_shown(made_run, monkeypatch):
    """Those that the run was scored with, and those that are newer than the run."""
    hits = Metric("hits", "number of hits", confusion, lambda table: np.trace(table, axis1=-2, axis2=-1), "hits")
    older = made_run(["a", "b"], 50, name="older")
    monkeypatch.setitem(METRICS._objects, "hits", hits)
    for run in (older, made_run(["a", "b"], 50)):
        contents = read_run(run)
        right = contents.predictions.probabilities.argmax(1) == contents.predictions.labels
        assert dict(row[:2] for row in scores_view(contents)[0].rows)["number of hits"] == f"{right.sum():.3f}"
    table = pd.read_parquet(older / "predictions.parquet")
    table.loc[3, "p_a"] = np.nan
    table.to_parquet(older / "predictions.parquet")
    assert "MCC" in [row[0] for row in scores_view(read_run(older))[0].rows]


def test_without_the_list_of_images_the_rest_is_there(made_run):
    run = made_run(["a", "b"], 50)
    (run / "manifest.csv").unlink()
    (listing,) = [block for block in summary(read_run(run)) if isinstance(block, Listing)]
    assert listing.items[0].startswith("a: ")
    found = scores_view(read_run(run))  # by the scored images, as those of the training are unknown
    (chart,), (_, _, classes, _) = ([block for block in found if isinstance(block, kind)] for kind in (Chart, Table))
    assert "training images" not in classes.header and "fewest scored images" in chart.caption


def test_ordinal_classes_of_which_only_the_data_know(made_run):
    """As of the built-in photographs: the settings do not say that the classes are ordinal."""
    run = read_run(made_run(["0", "1", "2"], 90, ordinal=True))
    assert "quadratic kappa" in [row[0] for row in scores_view(run)[0].rows]
    assert "at most one class off" in " ".join(block.text for block in summary(run) if hasattr(block, "text"))
    (chart,) = training_curves_view(run)
    assert chart.caption == "Epoch 1 of 3 was kept: it has the best quadratic kappa on validation data, 0.600."
    plain = read_run(made_run(["a", "b"], 50, name="plain"))
    assert "quadratic kappa" not in [row[0] for row in scores_view(plain)[0].rows]


def test_a_run_that_was_killed_says_so(made_run):
    folder = made_run(["a", "b"], 50)
    (folder / "metrics.json").unlink()
    assert any("This run is not finished" in block.text for block in summary(read_run(folder)) if isinstance(block, Note))


def rewritten(folder, predicted):
    """Let a made run predict other classes: `predicted(labels)`."""
    path = folder / "predictions.parquet"
    before = Predictions.read(path)
    p = np.eye(len(before.classes), dtype=np.float32)[predicted(before.labels)]
    after = replace(before, probabilities=p)
    after.write(path)
    (folder / "metrics.json").write_text(json.dumps({"test": Scores.of(after, 50).to_dict()}))
    return read_run(folder)


def test_a_collapsed_model_is_said_at_the_top(made_run):
    run = rewritten(made_run(["a", "b", "c"], 90), lambda labels: np.full_like(labels, 2))
    first = summary(run)[0]
    assert isinstance(first, Note) and first.text.startswith("The model predicts one class only: c. Try a larger --alpha")


def test_a_class_of_which_nothing_is_found_is_never_hidden_among_the_others(made_run):
    """The frequent ones share a sentence; those at 0 are named in it."""
    names = [f"c{k:02}" for k in range(20)]
    run = rewritten(made_run(names, 2000), lambda labels: np.where(labels == 19, 18, labels))
    images = run.scores.per_class["c19"].support
    blocks = summary(run)
    assert blocks[0].text.startswith(f"Never predicted: c19 (0 of {images:,} images).")
    assert blocks[-1].text.startswith("Other classes (") and blocks[-1].text.endswith(f" None of c19 (0 of {images:,}).")


@pytest.mark.parametrize(("column", "named"), [("patient", "30 groups (column patient)"), (None, "30 groups: ")])
def test_groups_are_named_by_their_column_where_there_is_one(made_run, column, named):
    """Those of the built-in photographs come from no column."""
    run = read_run(made_run(["a", "b"], 50))
    settings = run.settings.model_copy(update={"group_column": column})
    run = replace(run, settings=settings, scores=replace(run.scores, groups=30))
    text = next(block.text for block in summary(run) if isinstance(block, Text))
    assert named in text and "None" not in text


@pytest.mark.parametrize("ordinal", [False, True])
def test_scores_stand_beside_those_of_a_model_without_knowledge(made_run, ordinal):
    run = read_run(made_run(["a", "b", "c"], 50))
    labels = np.repeat([0, 1, 2], [40, 8, 2])
    run = replace(
        run, ordinal=ordinal, predictions=replace(run.predictions.take(np.arange(50) % len(run.predictions)), labels=labels)
    )
    text = " ".join(block.text for block in summary(run) if isinstance(block, Text))
    share = ", an accuracy of 80% and 96% of its predictions at most one class off." if ordinal else " and an accuracy of 80%."
    assert f"a model that always predicts a has a balanced accuracy of 33%{share}" in text
    assert "95% CI (confidence interval): " in text and "of this one trained model" in text


def test_an_evaluation_of_the_own_test_part_is_not_called_one_of_the_training_data(tiny_run, tmp_path):
    evaluate(tiny_run, out=tmp_path / "own")
    assert evaluation_report(tmp_path / "own").title.endswith(", scored on its test split")


def test_an_evaluation_says_what_it_corrected_to(tiny_run, tmp_path):
    result = evaluate(tiny_run, prior="uniform", sensitivity={"blue": 0.7}, out=tmp_path / "uniform")
    report = evaluation_report(tmp_path / "uniform")
    text = " ".join(block.text for block in report.sections[0].blocks if hasattr(block, "text"))
    assert "corrected to the class prior `uniform`: blue 33%, green 33%, red 33%" in text
    shown = dict(row[:2] for row in blocks(report, "scores", Table)[0].rows)
    assert shown["MCC"] == f"{result.scores.metrics['mcc'].value:.3f}*"  # of few images
    predictive = blocks(report, "scores", Table)[3]
    assert "uniform" in predictive.caption
    stored = json.loads((tmp_path / "uniform" / "metrics.json").read_text())["predictive_values"]
    for name, _, share, ppv, npv in predictive.rows:
        assert share == "33%" and stored[name]["prevalence"] == pytest.approx(1 / 3)
        assert [ppv, npv] == [written(stored[name]["precision"]), written(stored[name]["npv"])]
    errors, thresholds = blocks(report, "calibration", Table)
    assert errors.header[-1] == "prior `uniform`"
    (row,) = thresholds.rows
    assert (row[0], row[2], row[3]) == ("blue", "70%", f"{result.thresholds['blue'].threshold.value:.6f}")
    right = blocks(report, "confusion", Chart)[0].caption
    assert right.startswith(
        f"{round(result.scores.metrics['accuracy'].value * result.scores.n)} of {result.scores.n} predictions are correct"
    )


def test_a_correction_that_cannot_be_relied_on_is_named_at_the_top_and_where_it_is_measured(tiny_run, tmp_path):
    evaluate(tiny_run, prior="uniform", out=tmp_path / "uniform")
    found = read_evaluation(tmp_path / "uniform")
    shares = np.array([1 - 2e-9, 1e-9, 1e-9])
    doubtful = {
        False: TargetPrior("theirs.csv", np.full(3, 1 / 3)),
        True: TargetPrior("estimate", shares, np.zeros(3), np.ones(3)),
    }
    for doubted, prior in doubtful.items():
        run = replace(found, evaluation=replace(found.evaluation, prior=prior))
        assert (
            any("little about the class shares" in block.text for block in summary(run) if isinstance(block, Note)) == doubted
        )
    notes = [block.text for block in calibration_view(run) if isinstance(block, Note)]
    assert any("(prior `estimate`) makes the probabilities worse" in text for text in notes)


def test_thresholds_are_not_shown_on_the_images_that_chose_them(tiny_run, tmp_path):
    shown = {}
    for split in ("test", "val"):
        evaluate(tiny_run, split=split, out=tmp_path / split)
        shown[split] = {table.header[2] for table in blocks(evaluation_report(tmp_path / split), "calibration", Table)}
    assert shown["test"] - shown["val"] == {"target sensitivity"}


def test_a_moved_run_keeps_the_reports_of_its_evaluations(tiny_run, blobs, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "first", ignore=shutil.ignore_patterns("evaluations"))
    evaluate(run, data=str(blobs / "labels.csv"), allow_seen=True)
    moved = run.rename(tmp_path / "second")
    (folder,) = (moved / "evaluations").iterdir()
    assert blocks(evaluation_report(folder), "confusion", Chart)
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(UsageError, match=r"but its metrics\.json names no run"):
        evaluation_report(folder)


def test_a_recipe_of_another_version(made_run):
    run = made_run(["a", "b"], 40)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "flux: 3\n")
    assert any("another version" in reason and "flux" in reason for reason in read_run(run).missing)
    recipe.write_text("epochs: [1\n")
    with pytest.raises(UsageError, match="to be YAML"):
        run_report(run)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"to be the folder of a run, but it has no recipe\.yaml"):
        run_report(tmp_path)


def test_words():
    table = np.array([[1, 2, 0], [0, 5, 0], [0, 0, 0]])
    recall = Interval(1 / 3, 0.1, 0.7)
    assert class_sentence(0, ["a", "b", "c"], table, 1, recall) == (
        "a (1 training image): 1 of 3 found, 33% (95% CI 10% to 70%). Those missed were predicted as b (2). "
        "Predicted for 1 image, correct."
    )
    assert class_sentence(2, ["a", "b", "c"], table, 4, recall).endswith("so there is no recall.")
    assert class_sentence(1, ["0", "1", "2"], table, None, Interval(1.0, 1.0, 1.0)) == (
        "class 1: 5 of 5 found, 100%. Predicted for 7 images, 2 of them wrong."
    )
    table = np.array([[0, 1], [0, 3]])
    assert class_sentence(0, ["a", "b"], table, 2, recall).endswith(
        "The one missed was predicted as b (1). It was never predicted."
    )
    assert [percent(share) for share in (0.004, 0.995, 0.5, 1.0, 0.0)] == ["0.4%", "99.5%", "50%", "100%", "0%"]
    assert [listed(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
    assert (counted(1, "image"), counted(1200, "image"), counted(2, "class")) == ("1 image", "1,200 images", "2 classes")
