"""Every method trains on the drawn fundus photographs, from the images to a model that gives probabilities."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from balanced_mixup import UsageError, train
from balanced_mixup.benchmark.plan import make_plan
from balanced_mixup.benchmark.runs import expand
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.datasets.synthetic import synthetic_fundus
from balanced_mixup.explain.saliency import saliency
from balanced_mixup.methods import METHODS
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.training.backbones import create
from balanced_mixup.training.fit import fit
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.segments import first_method
from balanced_mixup.training.training_files import TrainingFiles


@pytest.fixture(scope="module")
def fundus():
    """96 photographs: 64 train, grade 4 is not among them, and 32 choose the epoch."""
    manifest = synthetic_fundus(n=96, size=32)
    rows = np.argsort(manifest.labels == 4, kind="stable")
    pixels = np.stack([manifest.images.read(row) for row in rows.tolist()])
    return TrainingData(ArrayPixels(pixels), manifest.labels[rows], np.arange(64), np.arange(64, 96), 5, ordinal=True)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_trains_on_drawn_fundus_photographs(name, fundus, tmp_path):
    settings = {"method": name, "backbone": "test_resnet", "weights": "none", "size": 32, "batch_size": 32, "epochs": 1}
    recipe = make_recipe(settings, {"accelerator": "cpu", "learning_rate": 3e-3, "feature_copies": 1})
    run, head = TrainingFiles(tmp_path), recipe.method.head()
    backbone = create(recipe.backbone, 5, 32, "none", 0, first_method(recipe.method).head())
    fit(recipe, backbone, fundus, run)
    history = pd.read_csv(run.history)
    assert np.isfinite(history["train_loss"]).all()
    assert history["train_loss"].iloc[0] > 0
    model = backbone.model.eval()
    assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in load_file(run.weights).items())
    with torch.no_grad():
        probabilities = head.probabilities(model(torch.rand(4, 3, 32, 32)))
    assert probabilities.shape == (4, 5)
    assert probabilities.sum(1).tolist() == pytest.approx([1] * 4, abs=1e-5)


# ---- Methods for grades ----


@pytest.fixture(scope="module", params=["corn", "coral"])
def grades_run(request, tiny, tmp_path_factory):
    """A finished run of a method for grades, of K - 1 outputs."""
    settings = {**tiny, "method": request.param, "classes": ("blue", "green", "red"), "ordinal": True}
    return train(settings, out=tmp_path_factory.mktemp("grades") / request.param)


def test_a_model_of_thresholds_is_scored_corrected_loaded_and_explained(grades_run):
    folder = grades_run.folder
    stored = Predictions.read(folder.predictions)
    assert stored.probabilities.shape[1] == 3
    assert stored.probabilities.sum(1) == pytest.approx(np.ones(len(stored.labels)), abs=1e-5)
    assert grades_run.scores["val"].n > 0
    assert folder.calibration.is_file()
    classifier = Classifier.load(folder.path, "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    probabilities = classifier.probabilities(pixels)
    assert probabilities.shape == (3, 3)
    for grade in range(3):
        maps = saliency(classifier, pixels, targets=np.full(3, grade))
        assert maps.shape == (3, 32, 32)
        assert np.isfinite(maps).all()
    assert any(saliency(classifier, pixels, targets=np.full(3, grade)).any() for grade in range(3))
    loaded = train(resume=True, out=folder.path)
    assert loaded.scores["val"].n == grades_run.scores["val"].n


@pytest.mark.parametrize("name", ["corn", "coral"])
def test_a_method_for_grades_refuses_classes_without_an_order(name, tiny, tmp_path):
    message = rf"The method {name} is for grades, but the classes of these data have no order.*--ordinal"
    with pytest.raises(UsageError, match=message):
        train({**tiny, "method": name}, out=tmp_path / "run")
    content = {key: tiny[key] for key in ("data", "group_column")}
    plan = make_plan({"data": {"blobs": content}, "methods": ["instance", name], "backbones": tiny["backbone"]})
    with pytest.raises(UsageError, match=message):
        expand(plan, tmp_path / "plan", {})
