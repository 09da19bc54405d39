"""A run around its training: the log, the scores, and where they are computed."""

import shutil
from pathlib import Path

import pytest
import torch

from balanced_mixup import RunError, UsageError, train
from balanced_mixup.runs.classifier import Classifier

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    "text", ["{}", '{"val": {}}', '{"val": {"metrics": {"mcc": 1}}}', '{"val": {"metrics": {"x": {}}}}', "[1]", ""]
)
def test_scores_that_are_damaged_are_named(tiny_run, text):
    metrics = tiny_run / "metrics.json"
    good = metrics.read_text()
    metrics.write_text(text)
    try:
        with pytest.raises(UsageError, match=r"metrics\.json' is (missing or )?damaged"):
            train(out=tiny_run, resume=True)
    finally:
        metrics.write_text(good)


def test_a_training_on_the_cpu_is_scored_there(tiny_run, tmp_path, monkeypatch):
    """Also where there is a GPU: here there seems to be one, which cannot be used."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "metrics.json").unlink()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if not torch.cuda.device_count():
        with pytest.raises((AssertionError, RuntimeError)):
            Classifier.load(run)
    train(out=run, resume=True)
    assert (run / "metrics.json").read_bytes() == (tiny_run / "metrics.json").read_bytes()


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_kept_stops_no_training(tiny, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/train.log").symlink_to(FULL)
    assert train(tiny, epochs=1, out=tmp_path / "run").scores
    assert "Traceback" not in capsys.readouterr().err


def test_a_log_that_cannot_be_begun_is_named(tiny, tmp_path):
    (tmp_path / "run/train.log").mkdir(parents=True)
    with pytest.raises(RunError, match=r"train\.log' could not be written"):
        train(tiny, epochs=1, out=tmp_path / "run")
