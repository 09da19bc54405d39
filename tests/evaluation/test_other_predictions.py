"""Predictions of another program: scored against labels alone, compared with a run, and reported."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, matthews_corrcoef, roc_auc_score

from balanced_mixup import DataError, Evaluation, Run, UsageError, compare, evaluate
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.write import write_report

CLASSES = ["bkl", "mel", "nv"]


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A table of labels without any image, and one of predictions by another program: 60 lesions, two images a patient."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, 60, p=[0.3, 0.15, 0.55])
    names = [f"photos/{row:03}.jpg" for row in range(60)]
    patients = [f"p{row // 2}" for row in range(60)]
    split = ["test" if row % 2 else "train" for row in range(60)]
    pd.DataFrame({"file": names, "dx": labels, "patient": patients, "part": split}).to_csv("labels.csv", index=False)
    logits = rng.normal(size=(60, 3)) + 2 * (labels[:, None] == np.array(CLASSES))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    table = pd.DataFrame({"id": [name[7:10] for name in names], **{f"prob_{name}": p[:, k] for k, name in enumerate(CLASSES)}})
    table.sample(frac=1, random_state=0).to_csv("theirs.csv", index=False)
    return labels, p, table


SETTINGS = {"data": "labels.csv", "image_column": "file", "label_column": "dx", "name_column": "id", "prefix": "prob_"}
FLAGS = [part for name, value in SETTINGS.items() for part in ("--" + name.replace("_", "-"), value)]


class TestScores:
    def test_are_those_of_scikit_learn(self, theirs):
        labels, p, _ = theirs
        result = evaluate(predictions="theirs.csv", **SETTINGS, group_column="patient", out="out")
        metrics = result.scores.metrics
        predicted = np.array(CLASSES)[p.argmax(1)]
        assert metrics["mcc"].value == pytest.approx(matthews_corrcoef(labels, predicted))
        assert metrics["macro_auc"].value == pytest.approx(roc_auc_score(labels, p, multi_class="ovr"))
        assert result.calibration.before.metrics["log_loss"].value == pytest.approx(log_loss(labels, p), abs=1e-5)
        assert (result.calibration.after, result.calibration.temperature) == (None, None)
        assert (result.scores.n, result.scores.groups) == (60, 30)
        assert metrics["mcc"].low < metrics["mcc"].value < metrics["mcc"].high

    def test_are_stored_and_read_back(self, theirs):
        result = evaluate(predictions="theirs.csv", **SETTINGS)
        assert result.folder.as_posix() == "runs/evaluations/theirs-all"
        stored = Evaluation.open(result.folder)
        assert stored.result.scores == result.scores
        assert stored.result.other_program == result.other_program
        assert (stored.result.other_program.name, stored.result.other_program.scores) == ("theirs", "probabilities")
        assert stored.predictions.images == tuple(f"photos/{row:03}.jpg" for row in range(60))
        with pytest.raises(UsageError, match="are those of another program: they belong to no run"):
            _ = stored.run
        # The same again goes into the same folder, another table into another.
        assert evaluate(predictions="theirs.csv", **SETTINGS).folder == result.folder
        assert evaluate(predictions="theirs.csv", **SETTINGS, ordinal=True, classes=CLASSES).folder != result.folder

    def test_of_a_split(self, theirs):
        assert evaluate(predictions="theirs.csv", **SETTINGS, split_column="part").scores.n == 30

    def test_of_class_answers_have_no_auc_and_no_calibration(self, theirs):
        labels, p, table = theirs
        answers = pd.DataFrame({"image": table["id"], "prediction": np.array(CLASSES)[p.argmax(1)]})
        answers.to_csv("answers.csv", index=False)
        result = evaluate(predictions="answers.csv", data="labels.csv", image_column="file", label_column="dx", out="out")
        assert np.isnan(result.scores.metrics["macro_auc"].value)
        assert result.scores.metrics["mcc"].value == pytest.approx(matthews_corrcoef(labels, answers["prediction"]))
        assert (result.calibration, result.other_program.scores) == (None, "answers")
        stored = Evaluation.open("out")
        assert stored.predictions.answers_only and np.isnan(stored.scores.metrics["macro_auc"].value)
        assert np.isnan(compare("out", "out")["macro_auc"].interval.value)

    def test_frames(self, theirs):
        labels = pd.read_csv("labels.csv")
        options = {name: value for name, value in SETTINGS.items() if name != "data"}
        result = evaluate(predictions=theirs[2], data=labels, **options, name="forest", out="out")
        same = evaluate(predictions="theirs.csv", **SETTINGS, out="other")
        assert result.scores == same.scores
        assert result.other_program.name == "forest"
        # Both tables are kept beside the scores, where the report finds them.
        assert {path.name for path in result.folder.iterdir()} == {
            "data.csv",
            "predictions.csv",
            "predictions.parquet",
            "metrics.json",
        }
        assert result.other_program.file == str(result.folder.resolve() / "predictions.csv")
        assert Evaluation.open("out").stored.settings["data"] == str(result.folder.resolve() / "data.csv")

    @pytest.mark.parametrize("suffix", ["parquet", "xlsx"])
    def test_other_formats(self, theirs, suffix):
        getattr(theirs[2], f"to_{'excel' if suffix == 'xlsx' else suffix}")(f"t.{suffix}", index=False)
        expected = evaluate(predictions="theirs.csv", **SETTINGS).scores.metrics["macro_auc"].value
        assert evaluate(predictions=f"t.{suffix}", **SETTINGS).scores.metrics["macro_auc"].value == pytest.approx(expected)

    def test_classes_are_renamed_by_the_label_map(self, theirs, caplog):
        theirs[2].rename(columns={"prob_nv": "prob_naevus"}).to_csv("t.csv", index=False)
        result = evaluate(predictions="t.csv", **SETTINGS, label_map={"naevus": "nv"})
        assert result.scores == evaluate(predictions="theirs.csv", **SETTINGS).scores
        assert "label map" not in caplog.text  # of which one could think, as no label is called naevus


class TestProblems:
    def test_are_listed_together(self, theirs):
        table = theirs[2].astype({"prob_mel": object})
        table.loc[3, "prob_mel"] = "x"
        table.loc[4, "prob_mel"] = 7
        table = pd.concat([table.drop(index=[0, 1]), table.loc[[5]], table.loc[[6]].assign(id="strange")])
        table.to_csv("bad.csv", index=False)
        with pytest.raises(DataError) as error:
            evaluate(predictions="bad.csv", **SETTINGS)
        message = str(error.value)
        assert "image without a prediction (2)\n  - photos/000.jpg: not among the predictions" in message
        assert "image predicted twice (1)\n  - bad.csv line 60: '005' again, as in bad.csv line 5" in message
        assert "image without a label (1)\n  - bad.csv line 61: the labels have no image 'strange'" in message
        assert "no prediction (1)\n  - bad.csv line 3: expected numbers in prob_bkl, prob_mel and prob_nv" in message
        assert "no probabilities (1)\n  - bad.csv line 4: expected probabilities from 0 to 1 with the sum 1" in message

    def test_images_can_be_left_out(self, theirs, caplog):
        theirs[2].drop(index=[0, 1]).to_csv("short.csv", index=False)
        result = evaluate(predictions="short.csv", **SETTINGS, exclude_bad=True, out="out")
        assert result.scores.n == 58
        assert pd.read_csv("out/excluded.csv")["image"].tolist() == ["photos/000.jpg", "photos/001.jpg"]
        assert "Left out 2 of 60 images that have a problem." in caplog.text

    def test_predictions_of_images_that_are_not_scored_do_not_matter(self, theirs):
        table = theirs[2]
        table.loc[0, "prob_mel"] = 7  # 000 is of the training split
        table.drop(index=[2]).to_csv("t.csv", index=False)
        assert evaluate(predictions="t.csv", **SETTINGS, split_column="part").scores.n == 30

    def test_a_class_without_scores(self, theirs):
        table = theirs[2].drop(columns="prob_mel")
        table[["prob_bkl", "prob_nv"]] /= table[["prob_bkl", "prob_nv"]].sum(axis=1).to_numpy()[:, None]
        table.to_csv("two.csv", index=False)
        with pytest.raises(
            DataError, match=r"class without scores \(1\)\n  - \d+ images of the class 'mel', which has no column"
        ):
            evaluate(predictions="two.csv", **SETTINGS)

    def test_what_needs_the_model_is_refused(self, theirs):
        with pytest.raises(UsageError, match="no --prior and --sensitivity with `--predictions`: that needs the model"):
            evaluate(predictions="theirs.csv", **SETTINGS, prior="uniform", sensitivity={"mel": 0.9})

    def test_nothing_to_score(self, theirs, tiny_run):
        with pytest.raises(UsageError, match="folder of a run, or `--predictions` of another program, but got neither"):
            evaluate()
        with pytest.raises(UsageError, match="Expected `--data` with the labels, or the folder of a run"):
            evaluate(predictions="theirs.csv")
        with pytest.raises(UsageError, match=r"there is no file 'gone.csv'"):
            evaluate(predictions="gone.csv", **SETTINGS)
        with pytest.raises(UsageError, match="Expected `--predictions` with --prefix"):
            evaluate(tiny_run, prefix="q_")
        with pytest.raises(UsageError, match=r"a run, whose images are scored, or other data, but got both \(data\)"):
            evaluate(tiny_run, predictions="theirs.csv", data="labels.csv")

    def test_labels_of_one_class_alone(self, theirs):
        labels = pd.read_csv("labels.csv")
        labels[labels["dx"] == "nv"].to_csv("nv.csv", index=False)
        result = evaluate(predictions="theirs.csv", **{**SETTINGS, "data": "nv.csv"})
        assert result.scores.per_class["nv"].support == (labels["dx"] == "nv").sum()
        assert set(result.scores.per_class) == set(CLASSES)


class TestOfARun:
    def test_its_images_are_scored_and_compared(self, tiny_run, tmp_path):
        run = Run.open(tiny_run)
        own = run.predictions.in_split("test")
        # The run's own predictions as another program would give them: the same scores, and no difference.
        own.to_frame().drop(columns=["label", "split", "group"]).sample(frac=1, random_state=1).to_csv(tmp_path / "copy.csv")
        result = evaluate(tiny_run, predictions=tmp_path / "copy.csv", out=tmp_path / "copied")
        scores = run.scores["test"]
        assert result.scores.metrics["mcc"] == scores.metrics["mcc"]
        assert result.scores.groups == scores.groups
        differences = compare(tiny_run, tmp_path / "copied")
        assert [differences[name].interval.value for name in METRICS] == pytest.approx(
            [0] * len(METRICS), nan_ok=True, abs=1e-6
        )
        assert repr(differences).startswith(f"Differences(a - b on {len(own)} images, 95 % intervals)\n  ")

    def test_others_are_not_comparable(self, tiny_run, theirs, tmp_path):
        evaluate(predictions="theirs.csv", **SETTINGS, out="out")
        with pytest.raises(UsageError, match=r"scored on the same images with the same labels, but .*tiny' and 'out' are not"):
            compare(tiny_run, "out")


class TestReport:
    def test_has_what_applies(self, theirs):
        evaluate(predictions="theirs.csv", **SETTINGS, out="out")
        page = write_report("out").read_text(encoding="utf-8")
        assert "<title>theirs, scored on" in page and "Predictions of another program: theirs.csv" in page
        for section in ("Summary", "Scores", "Confusion matrix", "ROC and precision-recall curves", "Calibration"):
            assert f">{section}</h2>" in page
        assert "Training" not in page.replace("Training images", "Training")[: page.index("<h2")]
        assert ">Training</h2>" not in page and ">Data</h2>" not in page
        assert page.count("fewer than half of the scored images") > 1 and "In parentheses: scored images." in page
        assert "images not shown: missing" in page  # there are no images at all
        figures = {path.name for path in (write_report("out").parent / "report-figures").glob("*.svg")}
        assert figures == {
            "class-scores.svg", "confusion.svg", "net-benefit.svg", "roc.svg", "precision-recall.svg", "reliability.svg"
        }  # fmt: skip

    def test_of_answers(self, theirs):
        table = pd.DataFrame({"image": theirs[2]["id"], "prediction": "nv"})
        table.to_csv("answers.csv", index=False)
        evaluate(predictions="answers.csv", data="labels.csv", image_column="file", label_column="dx", out="out")
        page = write_report("out").read_text(encoding="utf-8")
        assert "It has predicted classes alone" in page and "predicts one class only: nv" in page
        assert ">Calibration</h2>" not in page and "reliability" not in page


def test_command(theirs, capsys):
    from balanced_mixup.cli import run

    assert run(["evaluate", "--predictions", "theirs.csv", *FLAGS, "--out", "out"]) == 0
    printed = capsys.readouterr()
    assert "Scores on all images of" in printed.out and "predictions theirs: 60 images" in printed.out
    assert "as predicted" in printed.out and "corrected" not in printed.out
    assert "60 images matched by the file name without its suffix" in " ".join(printed.err.split())
    assert "report.html" in printed.err
    assert run(["evaluate", "--predictions", "theirs.csv", *FLAGS, "--json", "--no-report"]) == 0
    assert json.loads(capsys.readouterr().out)["other_program"]["scores"] == "probabilities"
    assert run(["compare", "out", "runs/evaluations/theirs-all"]) == 0
    printed = capsys.readouterr().out
    assert "a - b [95 % interval]" in printed and "MCC" in printed and "kappa" not in printed  # which is for grades


def test_mistakes_of_flags(theirs, capsys):
    from balanced_mixup.cli import run

    for arguments, message in (
        (["--fold-column", "part"], "Expected the folder of a benchmark with --fold-column"),
        (["--scores", "logit"], "logit"),
        (["--allow-seen"], "Expected no --allow-seen with `--predictions`"),
    ):
        assert run(["evaluate", "--predictions", "theirs.csv", *FLAGS, *arguments]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match="Expected `scores` to be 'probabilities', 'logits' or 'independent', but got 'x'"):
        evaluate(predictions="theirs.csv", **SETTINGS, scores="x")
