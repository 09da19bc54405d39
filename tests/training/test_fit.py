"""What can go wrong around a training: files that cannot be written, and state that is not ours."""

import importlib.util
import os
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from safetensors import SafetensorError

from balanced_mixup import RunError, UsageError, train
from balanced_mixup.files import temporary_path, write_text

FULL = Path("/dev/full")


def full_from(monkeypatch, name):
    """Let the disk be full from the moment when the file `name` is written."""
    real = os.fsync

    def fsync(descriptor):
        if name in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_each_file_that_cannot_be_written_is_named_and_the_run_goes_on_from_there(tiny, tmp_path, monkeypatch):
    names = (
        "recipe.yaml", "manifest.csv", "environment.json", "model.json", "history.csv", "checkpoint.ckpt", "cost.json",
        "weights.safetensors", "predictions.parquet", "calibration.json", "metrics.json",
    )  # fmt: skip
    settings = {**tiny, "epochs": 1}
    for name in names:
        with monkeypatch.context() as patch:
            full_from(patch, name)
            with pytest.raises(RunError, match=f"'.*/{name}' could not be written: .*No space left on device"):
                train(settings, out=tmp_path / "run", resume=True)
    assert train(settings, out=tmp_path / "run", resume=True).scores["val"].n > 0


@pytest.mark.parametrize(
    ("writer", "error"),
    [("safetensors.torch.save_file", SafetensorError), ("torch.save", RuntimeError)],
    ids=["weights", "checkpoint"],
)
def test_a_full_disk_where_the_writer_has_errors_of_its_own(fit_small, tmp_path, monkeypatch, writer, error):
    def full(*arguments):
        raise error("No space left on device")

    monkeypatch.setattr(writer, full)
    with pytest.raises(RunError, match=r"The (weights|checkpoint) '.*' could not be written: No space left on device"):
        fit_small(tmp_path / "run", epochs=1)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_disk_that_is_really_full(monkeypatch, tmp_path):
    temporary_path(tmp_path / "notes.txt").symlink_to(FULL)
    with pytest.raises(RunError, match=r"'.*/notes\.txt' could not be written: .*No space left on device"):
        write_text(tmp_path / "notes.txt", "x")
    assert list(tmp_path.iterdir()) == []


def test_the_random_state_of_the_caller_is_left_alone(staged, fit_small, tmp_path):
    state = torch.get_rng_state()
    fit_small(tmp_path / "run", epochs=1, method="chain-test")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_one_clear_sentence(fit_small, tmp_path, name):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(
        UsageError, match=rf"^`--logger {name}` needs {name}, which is not installed: pip install 'balanced-mixup\[{name}\]'\.$"
    ):
        fit_small(tmp_path / "run", epochs=1, logger=name)


def test_a_tracker_sees_every_epoch(staged, fit_small, tmp_path, monkeypatch):
    seen = []

    class Tracker(DummyLogger):
        def log_metrics(self, metrics, step=None):
            seen.append((step, set(metrics)))

    monkeypatch.setattr("balanced_mixup.training.fit.make_logger", lambda recipe, folder: Tracker())
    fit_small(tmp_path / "run", epochs=1, method="retrained-test")
    whole = [step for step, names in seen if {"train_loss", "mcc", "learning_rate"} <= names]
    assert whole == [1, 2, 3]
