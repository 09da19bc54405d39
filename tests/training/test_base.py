"""Trainings that start from what another run has trained, and classifiers with other heads and foreign backbones."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from staged_fixture import sha256
from torch import nn

from balanced_mixup import Classifier, UsageError, train
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.runs import classifier
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training import backbone_names, backbones


@pytest.fixture(scope="module")
def trained(staged, tiny, tmp_path_factory):
    """Function from a method and settings to the folder of a finished run, trained once."""
    known = {}

    def run(method, **settings):
        key = (method, *sorted(settings.items()))
        if key not in known:
            small = {**tiny, "backbone": "test_resnet", "epochs": 1, "method": method, **settings}
            known[key] = train(small, out=tmp_path_factory.mktemp("trained") / method).folder
        return known[key]

    return run


def small(tiny, method, **settings):
    return {**tiny, "backbone": "test_resnet", "epochs": 1, "method": method, **settings}


@pytest.mark.parametrize("source", ["instance", "normalised-test"])
def test_the_base_is_taken_from_a_run_of_it_or_of_a_sibling(trained, tiny, tmp_path, source):
    whole = trained("retrained-test")
    run = train(small(tiny, "retrained-test"), out=tmp_path / "run", base=trained(source).path).folder
    assert sha256(run.weights) == sha256(whole.weights)
    assert run.history.read_bytes() == whole.history.read_bytes()
    assert run.predictions.read_bytes() == whole.predictions.read_bytes()
    assert not run.end_of_base.weights.exists()
    assert "Reusing the trained stages of instance from the run in" in run.log.read_text()


def test_a_base_that_is_not_the_one_is_refused(trained, tiny, tmp_path):
    wrong = r"Expected `base` to be a finished training of instance by the same settings and on the same data, but '.*' is not"
    plain = trained("instance").path
    for method, settings, base, message in (
        ("class", {}, plain, "Expected no `base` with the method class, which starts from no other training"),
        ("retrained-test", {"seed": 3}, plain, wrong),
        ("retrained-test", {"learning_rate": 0.01}, plain, wrong),
        ("retrained-test", {"test_fraction": 0.3}, plain, wrong),  # other training images
        ("chain-test", {}, plain, wrong.replace("instance", "retrained-test")),
        ("retrained-test", {}, tmp_path / "none", "to be the folder of a run"),
    ):
        with pytest.raises(UsageError, match=message):
            train(small(tiny, method, **settings), out=tmp_path / "run", base=base)


def test_a_base_that_is_not_finished_is_refused(trained, tiny, tmp_path):
    half = RunFolder(tmp_path / "half")
    half.path.mkdir()
    for path in (trained("instance").recipe, trained("instance").environment):
        (half.path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="Expected `base` to be a finished training of instance"):
        train(small(tiny, "retrained-test"), out=tmp_path / "run", base=half.path)


def some_pixels(n=7):
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_a_run_with_a_cosine_head_is_loaded_and_predicts(trained):
    run = trained("chain-test")
    assert json.loads(run.model.read_text())["head"] == {"name": "cosine", "scale": 16.0}
    weights = load_file(run.weights)
    classifier = Classifier.load(run.path)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in classifier.model.state_dict().items())
    probabilities = classifier.probabilities(ArrayPixels(some_pixels()))
    assert probabilities.sum(1) == pytest.approx(np.ones(7), abs=1e-5)
    # By hand: cosines times 16, of the image and of its mirror image.
    mean, std = (torch.tensor(json.loads(run.model.read_text())[name])[:, None, None] for name in ("mean", "std"))
    images = (torch.from_numpy(some_pixels()).permute(0, 3, 1, 2) / 255 - mean) / std
    layer = backbones.head_layer(classifier.model)
    with torch.no_grad():
        found = []
        for view in (images, images.flip(3)):
            features = backbones.features_of(classifier.model, view)
            cosines = nn.functional.cosine_similarity(features[:, None], layer.weight[None], dim=2)
            found.append((16 * cosines).softmax(1))
    assert probabilities == pytest.approx(torch.stack(found).mean(0).numpy(), abs=1e-4)


def test_runs_of_older_versions_have_a_softmax_head(trained):
    run = trained("instance")
    card = json.loads(run.model.read_text())
    assert card.pop("head") == {"name": "softmax"}
    card["format"] = 1
    before = Classifier.load(run.path).probabilities(some_pixels())
    text, digests = run.model.read_text(), run.digests.read_bytes()
    run.model.write_text(json.dumps(card))
    run.digests.unlink()  # which came later
    try:
        assert (Classifier.load(run.path).probabilities(some_pixels()) == before).all()
    finally:
        run.model.write_text(text)
        run.digests.write_bytes(digests)


# ---- Backbones of other distributions ----


class Plain(nn.Module):
    """Features (B, 12), with a normalisation of its own, of which the mean is a tensor."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 12, 5, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]))
        self.std = (0.2, 0.2, 0.25)

    def forward(self, images):
        return self.net(images).flatten(1)


class Pooled(nn.Module):
    """An output of Hugging Face's kind."""

    def __init__(self):
        super().__init__()
        self.inner = Plain()

    def forward(self, images):
        return type("Output", (), {"last_hidden_state": images, "pooler_output": self.inner(images)})()


class Broken(nn.Module):
    def forward(self, images):
        raise ValueError("only 224 px")


def factory(kind):
    def make(*, size, weights):
        assert (size, weights) == (32, "none")
        return kind()

    return make


@pytest.fixture
def foreign(monkeypatch):
    found = {"plain-test": factory(Plain), "pooled-test": factory(Pooled), "broken-test": factory(Broken)}
    for module in (backbones, backbone_names, classifier):
        monkeypatch.setattr(module, "plugin_backbones", lambda: found)


@pytest.mark.parametrize("name", ["plain-test", "pooled-test"])
def test_a_foreign_backbone_trains_saves_loads_and_predicts(foreign, staged, tiny, tmp_path, name):
    run = train({**tiny, "backbone": name, "epochs": 1, "method": "chain-test"}, out=tmp_path / "run").folder
    card = json.loads(run.model.read_text())
    assert card["mean"] == pytest.approx([0.4, 0.5, 0.6] if name == "plain-test" else [0.485, 0.456, 0.406])
    classifier = Classifier.load(run.path)
    probabilities = classifier.probabilities(some_pixels())
    assert probabilities.shape == (7, 3)
    assert probabilities.sum(1) == pytest.approx(np.ones(7), abs=1e-5)
    assert all(torch.equal(tensor, load_file(run.weights)[key]) for key, tensor in classifier.model.state_dict().items())


def test_a_foreign_backbone_starts_in_training_mode_with_a_zero_head(foreign):
    backbone = backbones.create("plain-test", 4, 32, "none", 0)
    assert all(module.training for module in backbone.model.modules())
    assert not backbone.model.eval()(torch.randn(2, 3, 32, 32)).any()
    again = backbones.create("plain-test", 4, 32, "none", 0)
    states = zip(backbone.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states)


def test_a_foreign_backbone_that_cannot_be_built_is_named(foreign):
    with pytest.raises(UsageError, match=r"The backbone broken-test of another distribution cannot be built .*only 224 px"):
        backbones.create("broken-test", 3, 32, "none", 0)
    with pytest.raises(UsageError, match=r"got 'plain-tst'.* Did you mean 'plain-test'"):
        backbones.create("plain-tst", 3, 32, "none", 0)
