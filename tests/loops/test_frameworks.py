"""The examples of other frameworks' training loops run, train, and see each image once an epoch."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from balanced_mixup.mixing import loader, mixup_fn

# Hints of the frameworks about what short examples leave at its default.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def example(monkeypatch):
    """Function from the name of an example and the libraries that it needs to its module; skips where one is missing."""
    tests = Path(__file__).resolve().parents[1]
    # pytest puts this folder on the path, where transformers would take tests/datasets for Hugging Face's package.
    others = [place for place in sys.path if Path(place) != tests]
    monkeypatch.setattr(sys, "path", [str(tests.parent / "examples" / "loops"), *others, str(Path(sys.prefix) / "loops")])

    def load(name, *libraries):
        for library in libraries:
            pytest.importorskip(library, reason=f"without {library}, which `make install` installs for the tests")
        return importlib.import_module(name)

    return load


@pytest.fixture
def pairs(monkeypatch):
    """The (row, partner row, weight) that loaders read, in their order."""
    read, get = [], loader._Pairs.__getitem__
    monkeypatch.setattr(loader._Pairs, "__getitem__", lambda data, index: (read.append(index), get(data, index))[1])
    return read


def assert_epochs(pairs, epochs, images=200):
    """Assert that each epoch has each image once, in an order of its own."""
    orders = [[row for row, _, _ in pairs[epoch * images : (epoch + 1) * images]] for epoch in range(epochs)]
    assert len(pairs) == epochs * images
    assert all(sorted(order) == list(range(images)) for order in orders)
    assert len(set(map(tuple, orders))) == epochs


def test_hugging_face(example, pairs, tmp_path):
    trainer = example("hf_trainer", "transformers", "accelerate").main(2, str(tmp_path), save_strategy="steps", save_steps=15)
    assert_epochs(pairs, 2)
    scores = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(scores) == 2
    assert scores[1] < scores[0]
    # Resumed within the second epoch, it goes on with the batches that were left.
    whole = list(pairs)
    pairs.clear()
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-15"))
    assert pairs == whole[300:]


@pytest.mark.slow  # the import takes five seconds; how fastai rebuilds a batch is in test_batches.py
def test_fastai(example, pairs):
    learner = example("fastai_learner", "fastai").main()
    assert_epochs(pairs, 3)
    loss, accuracy = learner.validate()
    assert loss < 0.3
    assert accuracy > 0.9


def test_timm(example, monkeypatch):
    read, get = [], mixup_fn._Partners.__getitem__
    monkeypatch.setattr(mixup_fn._Partners, "__getitem__", lambda data, row: (read.append(row), get(data, row))[1])
    losses = example("timm_train").main()
    assert len(losses) == 20
    assert sum(losses[-10:]) < sum(losses[:10])
    # Whole batches of partners, each class equally often: the images are sorted by class.
    assert len(read) % 20 == 0
    assert 100 < len(read) <= 400
    shares = [sum(low <= row < high for row in read) / len(read) for low, high in ((0, 160), (160, 190), (190, 200))]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.12)


def test_the_mixup_fn_is_switched_off_and_smooths_as_timm_s_does():
    from timm.data import Mixup

    images, labels = torch.rand(4, 1, 2, 2), torch.tensor([0, 2, 1, 0])
    made = (
        mixup_fn.BalancedMixUpFn(TensorDataset(images, labels), labels, num_classes=3, batch_size=4, label_smoothing=0.1),
        Mixup(mixup_alpha=0.2, label_smoothing=0.1, num_classes=3),
    )
    for each in made:
        each.mixup_enabled = False
    for ours, theirs in zip(*(each(images.clone(), labels) for each in made), strict=True):
        assert torch.allclose(ours, theirs)


@pytest.mark.slow  # MONAI takes ten seconds of processor time to import
def test_monai(example, pairs):
    losses, cases = example("monai_dicts", "monai").main()
    assert_epochs(pairs, 2)
    assert sum(losses[-5:]) < sum(losses[:5])
    assert cases == [f"case {row}" for row, _, _ in pairs[-20:]]
