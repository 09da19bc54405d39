"""`--train head`: the backbone stays as it is, its features are computed once, and all that follows works on them."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from balanced_mixup import Classifier, UsageError, train
from balanced_mixup.data.cached_stores import cached_stores
from balanced_mixup.methods import BalancedMixUp, Instance, Stage, TrainSet
from balanced_mixup.mixing import NoMix
from balanced_mixup.report.contents import read_run
from balanced_mixup.report.training_view import training_view
from balanced_mixup.runs.identity import identity
from balanced_mixup.training import features
from balanced_mixup.training.backbones import create
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.segments import segments_of
from balanced_mixup.training.training_files import save_weights


@pytest.fixture
def head(tiny, tmp_path):
    """Function that trains a head, behind a backbone whose weights are those of a file; `cache` is in the test's folder."""
    weights = tmp_path / "backbone.safetensors"
    save_weights(weights, create("test_efficientnet", 3, 32, "none", 5).model.state_dict())
    settings = {**tiny, "train": "head", "weights": str(weights), "epochs": 2, "cache_dir": tmp_path / "cache"}

    def run(name, resume=False, **changes):
        return train({**settings, **changes}, out=tmp_path / name, resume=resume).run

    return run


@pytest.fixture
def batches(monkeypatch):
    """A list that grows by one for each batch of images whose features are computed."""
    seen, real = [], features.features_of

    def counted(model, images):
        if len(images) == features._MOST:
            seen.append(len(images))
            if len(seen) == counted.last:
                raise KeyboardInterrupt
        return real(model, images)

    counted.last = None
    monkeypatch.setattr(features, "features_of", counted)
    seen.clear()
    return seen, counted


def stored(tmp_path):
    """Return the store of features, which has been verified."""
    (store,) = (store for store in cached_stores(tmp_path / "cache") if store.contents == "features of test_efficientnet")
    assert store.verify() == []
    return store


def test_the_backbone_stays_and_its_features_are_computed_once(head, batches, blobs, tmp_path):
    seen, _ = batches
    run = head("first", feature_copies=1)
    initial, trained = load_file(tmp_path / "backbone.safetensors"), load_file(run.folder.weights)
    changed = {name for name in initial if not torch.equal(initial[name], trained[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    # Every image itself, a copy of each training image, and the mirror images of those that are predicted.
    splits = run.images["split"].value_counts()
    assert stored(tmp_path).images == 90 + splits["train"] + splits["val"] + splits["test"]
    before = len(seen)
    head("another-method", method="class", feature_copies=1)
    assert len(seen) == before
    head("another-fold", seed=1)  # which predicts other images
    assert len(seen) > before
    assert stored(tmp_path).images <= 90 * 3
    # The report shows images augmented only where copies were.
    assert [type(block).__name__ for block in training_view(read_run(run.path))] == ["Note", "Gallery"]
    # What is predicted by features is what the model says of the images.
    predictions = run.predictions
    found = Classifier.load(run.path, "cpu").predict([blobs / name for name in predictions.images])
    assert found.probabilities == pytest.approx(predictions.probabilities, abs=1e-5)


def test_killed_while_features_are_computed_and_resumed_it_ends_with_the_same_bits(head, batches, tmp_path):
    seen, counted = batches
    whole = head("whole", cache="ram")
    seen.clear()
    counted.last = 2
    with pytest.raises(KeyboardInterrupt):
        head("killed")
    counted.last = None
    assert 0 < stored(tmp_path).images < 90
    again = head("killed", resume=True)
    for name in ("weights", "predictions", "history"):
        assert getattr(again.folder, name).read_bytes() == getattr(whole.folder, name).read_bytes()


def test_a_mix_of_images_alone_is_refused():
    class Pasted(NoMix):
        mixes_features: ClassVar = False

    class OfImages(Instance):
        def stages(self, data):
            return (Stage(data.instance_branch(), mix=Pasted()),)

    data = TrainSet(np.array([0, 1]), 2, 3, 0)
    assert not segments_of(OfImages(), data)[0].trains_head
    with pytest.raises(UsageError, match="Pasted mixes images, not features: it cannot train the head alone"):
        segments_of(OfImages(), data, head_only=True)
    (segment,) = segments_of(BalancedMixUp(), data, head_only=True)
    assert segment.trains_head


def test_what_is_trained_is_part_of_the_identity_where_it_is_not_everything():
    assert identity(make_recipe({"train": "all"}), "data") == identity(make_recipe(), "data")
    assert identity(make_recipe({"train": "head"}), "data") != identity(make_recipe(), "data")
