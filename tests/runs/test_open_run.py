"""Reading runs: what is damaged is named, what is newer is refused with advice, what is older is migrated."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from balanced_mixup import Classifier, Evaluation, Run, UsageError, evaluate
from balanced_mixup.benchmark import benchmark_folder
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.runs import formats
from balanced_mixup.runs.formats import Format, read_file, write_file
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.scores import Scores

FILES = {
    "metrics.json": lambda run: run.scores,
    "calibration.json": lambda run: run.calibration,
    "model.json": lambda run: run.model,
    "environment.json": lambda run: run.environment,
    "cost.json": lambda run: run.cost,
}


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))


def test_what_a_run_holds(tiny_run):
    run = Run.open(str(tiny_run))
    assert repr(run) == f"Run({str(tiny_run)!r}, finished)"
    assert (run.path, run.classes, run.ordinal) == (tiny_run, ("blue", "green", "red"), False)
    assert run.recipe.epochs == len(run.history) == 3
    assert run.counts("train").sum() == (run.images["split"] == "train").sum()
    table = run.predictions.to_frame()
    pd.testing.assert_frame_equal(table, pd.read_parquet(run.folder.predictions), check_dtype=False)
    assert repr(run.predictions) == f"Predictions({len(table)} images, 3 classes)"
    assert run.scores["test"].per_class["red"].support == (table.query("split == 'test'")["label"] == "red").sum()
    assert run.scores["test"].n == len(run.predictions.in_split("test"))
    assert run.calibration.images == run.scores["val"].n
    assert run.cost.seconds > 0 and not run.cost.resumed
    assert isinstance(run.classifier("cpu"), Classifier)


def test_files_are_read_when_they_are_asked_for_and_once(run):
    opened = Run.open(run)
    for path in run.iterdir():
        if path.name != "metrics.json":
            path.unlink()
    scores = opened.scores
    (run / "metrics.json").unlink()
    assert opened.scores is scores and not opened.finished


def test_what_an_evaluation_holds(run, blobs, tmp_path):
    result = evaluate(run, data=str(blobs / "labels.csv"), allow_seen=True, prior="uniform")
    evaluation = Evaluation.open(result.folder)
    assert repr(evaluation) == f"Evaluation({str(result.folder)!r})"
    assert evaluation.result.to_dict() == result.to_dict()
    assert evaluation.result.settings == result.settings
    assert evaluation.run.path.resolve() == run.resolve()
    assert Scores.of(evaluation.scored).to_dict() == evaluation.scores.to_dict()
    correction = evaluation.run.calibration
    expected = correction.apply(evaluation.predictions.probabilities, correction.prior("uniform"))
    assert evaluation.scored.probabilities == pytest.approx(expected)
    newer = json.loads((result.folder / "metrics.json").read_text())
    write_file(result.folder / "metrics.json", {**newer, "format": 9}, Format(9))
    again = evaluate(run, data=str(blobs / "labels.csv"), allow_seen=True, prior="uniform")
    assert again.folder.name == "labels-all-2"  # that of a newer version is not overwritten
    result = again
    moved = run.rename(tmp_path / "moved")
    assert Evaluation.open(moved / "evaluations" / result.folder.name).run.path == moved


def test_every_file_carries_its_format(run, tmp_path):
    for name in FILES:
        assert json.loads((run / name).read_text())["format"] == {"model.json": 2, "calibration.json": 2}.get(name, 1), name
    evaluate(run, out=tmp_path / "scores")
    assert json.loads((tmp_path / "scores/metrics.json").read_text())["format"] == 1
    assert pq.read_schema(run / "predictions.parquet").metadata[b"balanced_mixup.format"] == b"1"


@pytest.mark.parametrize("name", FILES)
def test_a_newer_file_is_refused_with_its_writer_and_advice(run, name):
    environment = json.loads((run / "environment.json").read_text())
    environment["versions"]["balanced-mixup"] = "7.1"
    (run / "environment.json").write_text(json.dumps(environment))
    content = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps({**content, "format": 99, "news": 1}))
    with pytest.raises(
        UsageError, match=rf"{name}' was written by version 7\.1 of .*format 99.*reads formats up to \d\. Upgrade it with `pip"
    ):
        FILES[name](Run.open(run))


NEWER = {
    **FILES,
    "recipe.yaml": lambda run: run.recipe,
    "files.json": lambda run: run.verify(),
    "predictions.parquet": lambda run: run.predictions,
    "history.csv": lambda run: run.history,
    "manifest.csv": lambda run: run.images,
}


@pytest.mark.parametrize("name", [name for name in NEWER if name != "environment.json"])
def test_a_file_that_a_newer_version_wrote_in_its_own_way_is_no_damage(run, name):
    """Whatever it has added or renamed without another format: the message says who wrote it, not what pydantic says."""
    environment = json.loads((run / "environment.json").read_text())
    environment["versions"]["balanced-mixup"] = "0.10.1"
    (run / "environment.json").write_text(json.dumps(environment))
    path = run / name
    if name.endswith(".json"):
        content = json.loads(path.read_text())
        content = {"format": content["format"], "news": {"x": 1}}
        path.write_text(json.dumps(content))
    elif name == "recipe.yaml":
        path.write_text(path.read_text() + "resolution_schedule: slow\n")
    elif name == "predictions.parquet":
        table = pq.read_table(path)
        pq.write_table(table.rename_columns([f"new_{column}" for column in table.column_names]), path)
    else:
        path.write_text("row\n1\n")
    match = rf"(?s){name}' was written by version 0\.10\.1 of balanced-mixup; this is version .*, which cannot read it"
    with pytest.raises(UsageError, match=match) as caught:
        NEWER[name](Run.open(run))
    assert "Upgrade it with `pip install --upgrade balanced-mixup`" in str(caught.value)
    assert "validation error" not in str(caught.value)


@pytest.mark.parametrize("name", ["recipe.yaml", "files.json"])
def test_newer_recipes_and_digests_are_refused_by_their_format(run, name):
    text = (run / name).read_text()
    new = text.replace("format: 3", "format: 9") if name == "recipe.yaml" else text.replace('"format": 1', '"format": 9')
    (run / name).write_text(new)
    with pytest.raises(UsageError, match=rf"{name}' was written by version .* \(format 9\); this is version .* Upgrade it"):
        NEWER[name](Run.open(run))


def test_the_commands_name_the_newer_version(run, blobs, tmp_path, capsys):
    from balanced_mixup.cli import run as command

    content = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**content, "input_range": [0, 255]}))
    environment = json.loads((run / "environment.json").read_text())
    environment["versions"]["balanced-mixup"] = "3.0"
    (run / "environment.json").write_text(json.dumps(environment))
    assert command(["predict", str(run), str(blobs), "--out", str(tmp_path / "p.csv")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "model.json' was written by version 3.0 of balanced-mixup" in said


def test_newer_predictions_evaluations_and_benchmarks_are_refused(run, tmp_path):
    table = pq.read_table(run / "predictions.parquet")
    pq.write_table(table.replace_schema_metadata({"balanced_mixup.format": "2"}), run / "predictions.parquet")
    with pytest.raises(UsageError, match=r"predictions\.parquet' was written by version .* \(format 2\)"):
        _ = Run.open(run).predictions
    write_file(tmp_path / "metrics.json", {"run": "x"}, Format(2))
    with pytest.raises(UsageError, match="was written by a newer version"):
        Evaluation.open(tmp_path)
    write_file(tmp_path / "benchmark.json", {"version": "3.0"}, Format(99))
    with pytest.raises(UsageError, match=r"was written by version 3\.0 of balanced-mixup"):
        BenchmarkFolder(tmp_path).read()


def test_older_files_are_migrated_step_by_step_and_not_rewritten(tmp_path):
    form = Format(3, {1: lambda old: {"b": old["a"]}, 2: lambda old: {"c": old["b"] + 1}})
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')
    assert read_file(path, form) == {"c": 2, "format": 3}
    assert path.read_text() == '{"a": 1}'
    write_file(path, {"c": 5}, form)
    assert read_file(path, form) == {"c": 5, "format": 3}


def test_every_older_format_has_a_migration():
    forms = [form for module in (formats, benchmark_folder) for form in vars(module).values() if isinstance(form, Format)]
    assert len(forms) >= 8
    assert all(set(form.migrations) == set(range(1, form.newest)) for form in forms)


@pytest.mark.parametrize("number", ["1", 0, None, True, 1.5])
def test_a_format_that_is_no_number_is_damage(tmp_path, number):
    (tmp_path / "x.json").write_text(json.dumps({"format": number}))
    with pytest.raises(UsageError, match="expected `format` to be a number from 1, but got"):
        read_file(tmp_path / "x.json", Format())


@pytest.mark.parametrize("text", ["{}", '{"val": {}}', '{"val": {"metrics": {"mcc": 1}}}', "[1]", ""])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_named(run, name, text):
    (run / name).write_text(text)
    if name == "environment.json" and text.startswith("{"):
        return  # a mapping without a meaning of its own
    with pytest.raises(UsageError, match=rf"{name}' (is (missing or )?damaged|is not a calibration|does not describe a model)"):
        FILES[name](Run.open(run))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("history.csv", "epoch\n1\n", r"history\.csv' is damaged: it has no learning_rate, train_loss"),
        ("history.csv", "epoch,learning_rate,train_loss\n1,0.1,x\n", r"history\.csv' is damaged"),
        ("manifest.csv", "image,label,split,digest\n", r"manifest\.csv' is damaged: it has no rows"),
        ("manifest.csv", "", r"manifest\.csv' is damaged: No columns"),
    ],
)
def test_damaged_tables_are_named(run, name, text, message):
    (run / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        _ = Run.open(run).history, Run.open(run).images


def test_a_history_without_a_metric_of_today(run):
    table = pd.read_csv(run / "history.csv").drop(columns="macro_auc")
    table.to_csv(run / "history.csv", index=False)
    assert list(Run.open(run).history) == list(table)


def test_folders_that_are_no_run_and_no_evaluation(tmp_path):
    with pytest.raises(UsageError, match=r"to be the folder of a run, but it has no recipe\.yaml"):
        Run.open(tmp_path)
    with pytest.raises(UsageError, match=r"metrics\.json' is missing or damaged"):
        Evaluation.open(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(UsageError, match=r"to be the folder of an evaluation, but its metrics\.json names no run"):
        Evaluation.open(tmp_path)
    (tmp_path / "metrics.json").write_text('{"run": "x", "split": "all"}')
    with pytest.raises(UsageError, match=r"metrics\.json' is damaged: it lacks 'n'\. Evaluate the run again"):
        _ = Evaluation.open(tmp_path).result


def test_predictions_are_written_and_read_the_same(tmp_path):
    p = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    made = Predictions(("a", "b"), np.array([1, 0]), p, ("no", "p_1"), np.array(["g", "h"]), np.array(["val", "test"]))
    folder = tmp_path / "gamma=2"  # looks like a partition of a Parquet data set
    folder.mkdir()
    made.write(folder / "p.parquet")
    read = Predictions.read(folder / "p.parquet")
    pd.testing.assert_frame_equal(read.to_frame(), made.to_frame())
    assert (read.classes, read.groups.tolist(), read.images) == (made.classes, ["g", "h"], made.images)
    assert len(read.in_split("val")) == 1 and read.take(np.array([1])).images == ("b",)
