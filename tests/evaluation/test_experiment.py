"""A run around its training: the log, the scores, and where they are computed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from balanced_mixup import RunError, UsageError, train
from balanced_mixup.evaluation.other_data import with_run_defaults
from balanced_mixup.evaluation.predict import predict
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.training.recipe import load_yaml, make_recipe, make_settings

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


def test_the_bit_depth_of_the_training_is_that_of_predictions(tiny, tmp_path, caplog):
    rng = np.random.default_rng(0)
    for number in range(24):
        (tmp_path / "data" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 2000 + 2000 * (number % 2), (40, 40)).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / "data" / "ab"[number % 2] / f"{number:02}.tif")
    given = tiny | {"data": str(tmp_path / "data"), "group_column": None, "epochs": 1, "bit_depth": 12}
    train(given, out=tmp_path / "run")
    assert "unused bits" not in caplog.text
    assert json.loads((tmp_path / "run/model.json").read_text())["bit_depth"] == 12
    own = pd.read_parquet(tmp_path / "run/predictions.parquet")
    paths = [tmp_path / "data" / name for name in own["image"]]
    again = predict(tmp_path / "run", paths, calibrate=False).to_frame()
    assert again["p_a"].to_numpy() == pytest.approx(own["p_a"].to_numpy(), abs=1e-5)
    card = tmp_path / "run/model.json"
    text, digests = card.read_text(), tmp_path / "run/files.json"
    card.write_text(json.dumps({**json.loads(text), "bit_depth": None}))
    kept = digests.rename(tmp_path / "files.json")
    other = predict(tmp_path / "run", paths, calibrate=False).to_frame()
    assert np.abs(other["p_a"].to_numpy() - own["p_a"].to_numpy()).max() > 1e-4
    assert "unused bits" in caplog.text
    card.write_text(text)
    kept.rename(digests)
    # Other data to score are read in the same way, and the limit on pixels may be another one.
    recipe = make_recipe(load_yaml(tmp_path / "run/recipe.yaml"))
    chosen = with_run_defaults(make_settings({"data": str(tmp_path / "data")}), recipe, ("a", "b"), ordinal=False)
    assert chosen.bit_depth == 12
    assert train(out=tmp_path / "run", resume=True, max_megapixels=3).scores
    with pytest.raises(UsageError, match="`bit_depth` was 12, now 10"):
        train(out=tmp_path / "run", resume=True, bit_depth=10)


def test_an_ordinary_model_says_nothing_about_a_bit_depth(tiny_run):
    """So that older versions read its card."""
    assert "bit_depth" not in json.loads((tiny_run / "model.json").read_text())
