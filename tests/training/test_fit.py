"""What can go wrong around a training: files that cannot be written, and state that is not ours."""

import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from balanced_mixup import RunError, train
from balanced_mixup.files import write_text

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
@pytest.mark.parametrize(
    "name",
    [
        "recipe.yaml", "environment.json", "manifest.csv", "model.json", "history.csv", "checkpoint.ckpt", "cost.json",
        "weights.safetensors", "predictions.parquet", "metrics.json",
    ],
)  # fmt: skip
def test_each_file_that_cannot_be_written_is_named(tiny, tmp_path, monkeypatch, name):
    full_from(monkeypatch, name)
    with pytest.raises(RunError, match=f"'.*/{name}' could not be written: .*No space left on device"):
        train(tiny, epochs=1, out=tmp_path / "run")
    monkeypatch.undo()
    scores = train(out=tmp_path / "run", resume=True) if (tmp_path / "run/recipe.yaml").exists() else None
    assert scores is None or scores.scores["val"].n > 0


@pytest.mark.parametrize(
    ("writer", "error"),
    [("classifier.save_file", SafetensorError), ("fit.torch.save", RuntimeError)],
    ids=["weights", "checkpoint"],
)
def test_a_full_disk_where_the_writer_has_errors_of_its_own(tiny, tmp_path, monkeypatch, writer, error):
    def full(*arguments):
        raise error("No space left on device")

    monkeypatch.setattr(f"balanced_mixup.training.{writer}", full)
    with pytest.raises(RunError, match=r"The (weights|checkpoint) '.*' could not be written: No space left on device"):
        train(tiny, epochs=1, out=tmp_path / "run")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_disk_that_is_really_full(monkeypatch, tmp_path):
    (tmp_path / f".notes.txt.{os.getpid()}.tmp").symlink_to(FULL)
    with pytest.raises(RunError, match=r"'.*/notes\.txt' could not be written: .*No space left on device"):
        write_text(tmp_path / "notes.txt", "x")
    assert list(tmp_path.iterdir()) == []


def test_the_random_state_of_the_caller_is_left_alone(tiny, tmp_path, monkeypatch):
    forked, real = [], torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: (forked.append(devices), real(devices))[1])
    state = torch.get_rng_state()
    train(tiny, epochs=1, out=tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(forked)  # and no GPU is touched by a training on the CPU
