"""A run that is killed at any moment and started again ends as one that was never disturbed, bit for bit on the CPU."""

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import yaml
from staged_fixture import sha256

from balanced_mixup import UsageError, train
from balanced_mixup.cli import main
from balanced_mixup.methods import BalancedMixUp, FocalLoss
from balanced_mixup.runs.run_folder import RunFolder


@pytest.fixture(scope="module")
def start(forkserver):
    """Return a function that starts a training in a process of its own."""

    def run(settings, out):
        process = forkserver.Process(target=train, args=(settings,), kwargs={"out": out, "resume": True})
        process.start()
        return process

    first = forkserver.Process(target=print)
    first.start()
    first.join()
    return run


def booked_epochs(run):
    history = run / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


@pytest.mark.parametrize(
    "change",
    [
        {"method": "mixup", "schedule": "cyclic", "cycle_epochs": 2, "patience": 1, "backbone": "test_vit", "epochs": 5},
        {"method": "chain-test", "epochs": 2},
    ],
    ids=["early-stopping", "stages"],
)
def test_killed_runs_end_with_the_same_weights(start, staged, tiny, tmp_path, change):
    settings = {**tiny, **change}
    undisturbed = start(settings, tmp_path / "undisturbed")
    undisturbed.join()
    assert undisturbed.exitcode == 0
    moments = random.Random(0)
    kills, booked = 0, 0
    for _ in range(3):
        process = start(settings, tmp_path / "killed")
        while process.is_alive() and booked_epochs(tmp_path / "killed") <= booked:
            time.sleep(0.01)
        process.join(moments.uniform(0, 0.3))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
        booked = booked_epochs(tmp_path / "killed")
    last = start(settings, tmp_path / "killed")
    last.join()
    assert last.exitcode == 0
    assert kills > 0
    assert sha256(tmp_path / "killed/weights.safetensors") == sha256(tmp_path / "undisturbed/weights.safetensors")
    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in ("killed", "undisturbed")]
    pd.testing.assert_frame_equal(*histories)
    predictions = [pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("killed", "undisturbed")]
    pd.testing.assert_frame_equal(*predictions)
    leftovers = {path.name for path in (tmp_path / "killed").iterdir() if not path.name.startswith(".")}
    assert leftovers == {path.name for path in (tmp_path / "undisturbed").iterdir()}


def test_killed_after_every_file_that_is_written(tiny, tmp_path, monkeypatch):
    """Whatever was the last thing to reach the disk, nothing is missing and nothing left over in the end."""

    class Killed(BaseException):
        pass

    real, moments = Path.replace, set()

    def replace_and_die(path, target):
        real(path, target)
        if target.name not in moments:
            moments.add(target.name)
            raise Killed

    settings = {**tiny, "epochs": 1}
    whole = train(settings, out=tmp_path / "whole").folder
    cut = RunFolder(tmp_path / "cut")
    while not cut.metrics.is_file():
        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(Path, "replace", replace_and_die)
            train(settings, out=cut.path, resume=True)
    train(settings, out=cut.path, resume=True)
    assert moments > {"recipe.yaml", "manifest.csv", "checkpoint.ckpt", "weights.safetensors", "predictions.parquet"}
    assert {path.name for path in cut.path.iterdir()} == {path.name for path in whole.path.iterdir()}
    assert sha256(cut.weights) == sha256(whole.weights)
    assert cut.metrics.read_text() == whole.metrics.read_text()


def as_a_command(arguments, said):
    """Be `bmixup`, in a process that has imported all it needs, and keep what it says."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores Ctrl-C
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
    main(arguments)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_run_that_is_asked_to_stop_does_not_look_finished(tiny, forkserver, tmp_path, name):
    """A scheduler must not take a stopped training for a finished one."""
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in {**tiny, "epochs": 500}.items()]
    arguments = ["train", *arguments, f"--out={tmp_path / 'run'}"]
    process = forkserver.Process(target=as_a_command, args=(arguments, tmp_path / "said"))
    process.start()
    try:
        while not (tmp_path / "run/checkpoint.ckpt").exists():
            time.sleep(0.1)
            assert process.is_alive()
        os.kill(process.pid, getattr(signal, name))
        process.join(100)
    finally:
        process.kill()
    assert process.exitcode == 1
    said = (tmp_path / "said").read_text()
    assert "--resume" in said
    assert "Traceback" not in said


def test_finished_runs_are_not_trained_again(tiny_run):
    before = sha256(tiny_run / "weights.safetensors")
    recipe = yaml.safe_load((tiny_run / "recipe.yaml").read_text())
    assert train(recipe, out=tiny_run, resume=True).scores["test"].n > 0
    assert sha256(tiny_run / "weights.safetensors") == before


def test_a_run_is_not_overwritten(tiny, tiny_run):
    with pytest.raises(UsageError, match=r"exists\. Resume it with `--resume`, or choose another `--out`"):
        train(tiny, out=tiny_run)


def test_other_settings_are_not_taken_up(tiny_run):
    with pytest.raises(UsageError, match=r"started with other settings: `alpha` was 0\.2, now 0\.9"):
        train(alpha=0.9, out=tiny_run, resume=True)
    for method in ("focal", FocalLoss(gamma=1.0)):
        with pytest.raises(UsageError, match=r"started with other settings: `method` was 'balanced-mixup', now 'focal'\."):
            train(method=method, out=tiny_run, resume=True)
    assert train(method=BalancedMixUp(), out=tiny_run, resume=True).scores


def test_changed_data_are_noticed(tiny, tmp_path, blobs):
    for path in blobs.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = {**tiny, "data": str(tmp_path / "labels.csv"), "epochs": 1}
    run = train(settings, out=tmp_path / "run").folder
    run.metrics.unlink()
    (tmp_path / "000.png").write_bytes((tmp_path / "001.png").read_bytes() + b"changed")
    with pytest.raises(UsageError, match="The data have changed since the run"):
        train(out=run.path, resume=True)


def test_data_in_another_place_are_taken_up(tiny, tmp_path, blobs):
    settings = {**tiny, "epochs": 1}
    run = train(settings, out=tmp_path / "run").folder
    weights = sha256(run.weights)
    for path in (run.metrics, run.weights):
        path.unlink()
    moved = shutil.copytree(blobs, tmp_path / "moved")
    train(settings, data=str(moved / "labels.csv"), out=run.path, resume=True)
    assert sha256(run.weights) == weights
    assert yaml.safe_load(run.recipe.read_text())["data"] == str(moved / "labels.csv")
