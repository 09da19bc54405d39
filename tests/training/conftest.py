"""Small data and models for the tests of trainings: a training takes a tenth of a second."""

import numpy as np
import pytest
from staged_fixture import staged as staged

from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.training.backbones import create
from balanced_mixup.training.fit import fit
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.segments import first_method
from balanced_mixup.training.training_files import TrainingFiles

SMALL = {
    "backbone": "test_resnet", "weights": "none", "size": 32, "batch_size": 8, "epochs": 2, "accelerator": "cpu",
    "learning_rate": 3e-3,
}  # fmt: skip


@pytest.fixture(scope="session")
def small_data():
    """60 images of three classes that a tiny model can tell apart in part: 40 train (26, 10, 4), 20 choose the epoch."""
    rng = np.random.default_rng(0)
    labels = np.array(([0, 1, 0, 2, 0, 1, 0, 0, 1, 0] * 6)[:60])
    pixels = rng.integers(0, 200, (60, 32, 32, 3), dtype=np.uint8)
    for label, image in zip(labels, pixels, strict=True):
        image[8:24, 8:24, label] += 55
    return TrainingData(ArrayPixels(pixels), labels, np.arange(40), np.arange(40, 60), 3)


@pytest.fixture(scope="session")
def fit_small(small_data):
    """Function that trains on the small data and returns the folder and the trained model."""

    def run(folder, *, base=None, callbacks=(), mark="", **settings):
        recipe = make_recipe({**SMALL, **settings})
        folder.mkdir(exist_ok=True)
        backbone = create(recipe.backbone, 3, recipe.size, "none", 0, first_method(recipe.method).head())
        fit(recipe, backbone, small_data, TrainingFiles(folder), mark=mark, base=base, callbacks=callbacks)
        return TrainingFiles(folder), backbone.model

    return run


@pytest.fixture(scope="module")
def fitted(fit_small, tmp_path_factory):
    """Function from a method's name and settings to its folder and trained model, trained once; only to look at."""
    known = {}

    def run(method, **settings):
        key = (method, *sorted(settings.items()))
        if key not in known:
            known[key] = fit_small(tmp_path_factory.mktemp("fitted") / method, method=method, **settings)
        return known[key]

    return run
