"""The main job on real photographs: minutes of training, so in the slow set."""

import json

import pytest

from balanced_mixup import evaluate, predict, train

pytestmark = pytest.mark.slow


def settings(folder, label, group):
    table = str(folder / "labels.csv")
    return {"data": table, "images": folder / "images", "label_column": label, "group_column": group}


def test_skin_lesions(real_data, tmp_path):
    """HAM10000 at 96 px: the figures that a plain loop reached with the same backbone and time, less a margin."""
    folder = real_data("ham10000-128")
    run = train(
        settings(folder, "dx", "lesion_id"), method="balanced-mixup", alpha=0.2, size=96, epochs=6, out=tmp_path / "run"
    )
    metrics = evaluate(run.folder.path).scores.metrics
    assert metrics["mcc"].value >= 0.55
    assert metrics["balanced_accuracy"].value >= 0.50
    predictions = predict(run.folder.path, sorted((folder / "images").iterdir())[:50], out=tmp_path / "predictions.csv")
    assert len(predictions) == 50


def test_retinopathy_grades(real_data, tmp_path):
    """EyePACS: grades in their order, both eyes of a patient on one side; better than chance by far after two epochs."""
    folder = real_data("eyepacs-160")
    run = train(settings(folder, "level", "patient"), ordinal=True, size=96, epochs=2, out=tmp_path / "run")
    scores = json.loads(run.folder.metrics.read_text())["test"]
    assert scores["groups"] < scores["n"]
    assert scores.metrics["quadratic_kappa"].low > 0.2


def test_npz(real_data, tmp_path):
    """PneumoniaMNIST-format file: two classes, greyscale, its own split."""
    file = real_data("pneumoniamnist-28") / "pneumoniamnist_modified.npz"
    run = train(data=str(file), size=32, epochs=2, out=tmp_path / "run")
    scores = json.loads(run.folder.metrics.read_text())["test"]
    assert scores["n"] == 624
    assert scores.metrics["mcc"].low > 0.3
