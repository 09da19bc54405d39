"""The parts of a run are bound together: what was changed, swapped or damaged after its end is noticed, by name."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from balanced_mixup import Classifier, Run, UsageError, evaluate, train
from balanced_mixup.runs.digests import ChangedFileError

LEGACY = Path(__file__).parents[1] / "legacy"


@pytest.fixture
def run(tiny_run, tmp_path):
    """A finished run with digests."""
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))


@pytest.fixture
def old(tmp_path):
    """A finished run of a version before digests."""
    return shutil.copytree(LEGACY / "finished", tmp_path / "old")


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def reversed_classes(run):
    edit(run / "model.json", lambda content: content["classes"].reverse())


def flipped_bit(run):
    content = bytearray((run / "weights.safetensors").read_bytes())
    content[len(content) // 2] ^= 0x40
    (run / "weights.safetensors").write_bytes(content)


def other_calibration(run):
    edit(run / "calibration.json", lambda content: content.update(temperature=2 * content["temperature"]))


def empty_recipe(run):
    (run / "recipe.yaml").write_text("")


def other_method(run):
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("epochs: 3", "epochs: 4"))


def other_predictions(run):
    table = Run.open(LEGACY / "finished").predictions
    table.write(run / "predictions.parquet")


ATTACKS = {
    "model.json": (reversed_classes, lambda run: Classifier.load(run.path, "cpu")),
    "weights.safetensors": (flipped_bit, lambda run: run.classifier("cpu")),
    "calibration.json": (other_calibration, lambda run: run.calibration),
    "recipe.yaml": (other_method, lambda run: run.recipe),
    "predictions.parquet": (other_predictions, lambda run: run.predictions),
}


def test_an_untouched_run_is_verified(run, tiny_run):
    digests = json.loads((run / "files.json").read_text())
    files = {path.name for path in run.iterdir() if path.is_file()} - {"files.json", "train.log", "report.html"}
    assert set(digests["sha256"]) == set(Run.open(run).verify()) == files
    assert digests["format"] == 1 and digests["version"]


@pytest.mark.parametrize("name", ATTACKS)
def test_a_changed_file_is_named_where_it_is_read_and_by_evaluate(run, name):
    change, read = ATTACKS[name]
    change(run)
    for look in (lambda: read(Run.open(run)), lambda: Run.open(run).verify(), lambda: evaluate(run)):
        with pytest.raises(
            ChangedFileError, match=rf"^{name} of the run in '.*' has changed since the run was written: .* delete"
        ):
            look()
    # Whoever wants the change says so.
    (run / "files.json").unlink()
    if name in ("weights.safetensors", "recipe.yaml"):
        assert read(Run.open(run))


def test_the_commands_say_it_without_a_traceback(run, blobs, tmp_path, capsys):
    from balanced_mixup.cli import run as command

    flipped_bit(run)
    for arguments in (["evaluate", run], ["predict", run, blobs, "--out", tmp_path / "p.csv"]):
        assert command([str(argument) for argument in arguments]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "Error: weights.safetensors of the run in" in said and "Traceback" not in said
    assert not (tmp_path / "p.csv").exists()


def test_files_that_decide_nothing_are_a_warning(run, caplog):
    text = (run / "manifest.csv").read_text()
    (run / "manifest.csv").write_text(text.replace("\n", "\r\n"))  # as a spreadsheet saves it
    assert len(Run.open(run).images) == 90
    assert "manifest.csv of the run in" in caplog.text and "has changed since the run was written" in caplog.text
    assert Run.open(run).verify()
    assert evaluate(run).scores.n


def test_moved_data_are_no_change(run, tmp_path):
    content = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump({**content, "data": "elsewhere.csv", "cache": "ram"}))
    assert Run.open(run).verify()


def test_what_is_missing_may_be_missing(run):
    (run / "calibration.json").unlink()  # to be fitted again, as the messages advise
    assert "calibration.json" not in Run.open(run).verify()
    (run / "weights.safetensors").unlink()  # to save space
    assert Run.open(run).verify()
    (run / "metrics.json").unlink()
    with pytest.raises(UsageError, match="is not finished: there is nothing to compare"):
        Run.open(run).verify()


def test_scores_that_are_made_again_have_new_digests(run, tiny):
    (run / "metrics.json").unlink()
    (run / "calibration.json").unlink()
    flipped = (run / "weights.safetensors").read_bytes()
    flipped_bit(run)
    with pytest.raises(ChangedFileError, match=r"weights\.safetensors of the run"):
        train(out=run, resume=True)
    (run / "weights.safetensors").write_bytes(flipped)
    assert train(out=run, resume=True).run.verify()


def test_damaged_digests_are_named(run):
    (run / "files.json").write_text('{"sha256": [1]}')
    with pytest.raises(
        UsageError, match=r"files\.json' is damaged: expected `sha256` to be a mapping\. Delete it to read the run"
    ):
        _ = Run.open(run).recipe


# ---- Runs without digests: what their files say themselves ----


def test_an_old_run_is_read_as_it_is(old):
    assert Run.open(old).verify() == ()
    assert Classifier.load(old, "cpu").card.classes == ("blue", "green", "red")


def test_reversed_classes_of_an_old_run(old, blobs, tmp_path):
    from balanced_mixup.evaluation.predict import predict

    reversed_classes(old)
    match = r"not of one run: the classes are red, green, blue in model\.json, but blue, green, red in calibration\.json\. "
    with pytest.raises(ChangedFileError, match=match):
        predict(old, [blobs], out=tmp_path / "p.csv")
    with pytest.raises(ChangedFileError, match="not of one run"):
        Run.open(old).verify()


def test_the_calibration_of_another_run_in_an_old_one(old):
    other = next(path for path in sorted((LEGACY / "benchmark/runs").iterdir()) if "instance" in path.name and path.is_dir())
    shutil.copy(other / "calibration.json", old)
    with pytest.raises(ChangedFileError, match=r"calibration\.json was fitted on other predictions \(\d+ images, temperature "):
        _ = Run.open(old).calibration
    shutil.copy(LEGACY / "ordinal/calibration.json", old)
    with pytest.raises(ChangedFileError, match=r"but none, mild, moderate, severe in calibration\.json"):
        _ = Run.open(old).calibration


def test_an_empty_recipe_of_an_old_run(old):
    empty_recipe(old)
    with pytest.raises(UsageError, match=r"recipe\.yaml' is damaged: it is empty"):
        _ = Run.open(old).recipe
    with pytest.raises(ChangedFileError, match=r"the model is test_efficientnet at 32 px in model\.json, but None at None px"):
        Classifier.load(old, "cpu")


def test_contradictions_of_an_old_run(old):
    edit(old / "metrics.json", lambda content: content["test"]["metrics"]["mcc"].update(value=0.99))
    text = (old / "manifest.csv").read_text()
    (old / "manifest.csv").write_text(text.replace(",test,", ",train,"))
    with pytest.raises(ChangedFileError) as caught:
        Run.open(old).verify()
    assert "the label or the split of '" in str(caught.value)
    assert "MCC of the test split in metrics.json is not that of predictions.parquet" in str(caught.value)
