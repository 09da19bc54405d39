"""What datasets may give to the loader, and that a batch stays whole in the hands of training loops."""

import copy
import pickle

import numpy as np
import pytest
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch.utils._pytree import tree_map
from torch.utils.data._utils.pin_memory import pin_memory

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing import BalancedMixUpLoader, PairedBatch

LABELS = [0, 0, 0, 1, 1, 2]
IMAGES = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 3, 2, 2)


def first(samples, **settings):
    """Return the first batch, of all six samples, in the order of the samples."""
    batch = next(iter(BalancedMixUpLoader(samples, LABELS, batch_size=6, alpha=2.0, **settings)))
    order = batch.images[:, 0, 0, 0].argsort()
    return batch, order


@pytest.fixture
def batch():
    return first(list(zip(IMAGES, LABELS, ["a", "b", "c", "d", "e", "f"], range(6), strict=True)))[0]


REBUILDS = {
    "Lightning": lambda batch: apply_to_collection(batch, torch.Tensor, torch.clone),
    "DataLoader, pinned": lambda batch: pin_memory(batch, None) if torch.cuda.is_available() else type(batch)(*batch),
    "Hugging Face": lambda batch: type(batch)(part for part in batch),
    "fastai": lambda batch: type(batch)([*batch]),
    "FSDP": lambda batch: tree_map(lambda part: part, batch),
    "copy": copy.deepcopy,
    "worker process": lambda batch: pickle.loads(pickle.dumps(batch)),
    "to": lambda batch: batch.to("cpu"),
}


@pytest.mark.parametrize("loop", REBUILDS)
@pytest.mark.parametrize("parts", [5, 6])
def test_a_batch_that_is_rebuilt_is_a_batch(loop, parts, batch):
    batch = PairedBatch(batch[:parts])
    again = REBUILDS[loop](batch)
    assert type(again) is PairedBatch
    for one, other in zip(again.mixed(3), batch.mixed(3), strict=True):
        assert torch.equal(one, other)
    assert str(again.extra) == str(batch.extra)
    assert (again.extra is None) == (parts == 5)


def test_a_batch_of_six_parts_prints_all_of_them(batch):
    assert repr(batch).startswith("PairedBatch(images=tensor(") and f", extra={batch.extra!r})" in repr(batch)
    assert "extra" not in repr(PairedBatch(batch[:5])) and "weight=tensor(" in repr(PairedBatch(batch[:5]))


def test_a_batch_is_a_tuple_of_its_parts(batch):
    images, labels, partner_images, partner_labels, weight, extra = batch
    assert PairedBatch(images, labels, partner_images, partner_labels, weight)._fields == (
        "images", "labels", "partner_images", "partner_labels", "weight",
    )  # fmt: skip
    assert batch.images is images
    assert batch.weight is weight
    assert batch.extra is extra


def test_the_other_parts_of_a_sample_come_with_the_batch():
    names = [f"case {row}" for row in range(6)]
    batch, order = first(list(zip(IMAGES, LABELS, names, range(6), strict=True)))
    case, number = batch.extra
    assert [case[i] for i in order] == names
    assert number[order].tolist() == list(range(6))
    assert batch.to("meta").extra[1].device.type == "meta"


def test_samples_may_be_mappings():
    pairs = list(zip(IMAGES, LABELS, strict=True))
    samples = [{"scan": image, "grade": label, "at": {"row": row}} for row, (image, label) in enumerate(pairs)]
    batch, order = first(samples, keys=("scan", "grade"))
    plain, _ = first(pairs)
    for one, other in zip(batch[:5], plain, strict=True):
        assert torch.equal(one, other)
    assert batch.extra["at"]["row"][order].tolist() == list(range(6))
    assert batch.to("meta").extra["at"]["row"].device.type == "meta"
    assert first([{"image": image, "label": label} for image, label in pairs])[0].extra is None


@pytest.mark.parametrize(
    "kind",
    [int, float, bool, np.int8, np.float32, torch.tensor, lambda k: torch.tensor([k]), lambda k: np.array([[k]])],
)
def test_a_label_is_a_number_in_any_form(kind):
    labels = [0, 0, 0, 1, 1, 1]
    loader = BalancedMixUpLoader([(image, kind(k)) for image, k in zip(IMAGES, labels, strict=True)], labels, batch_size=6)
    (batch,) = loader
    assert batch.labels.dtype == torch.int64
    assert [labels[int(row)] for row in batch.images[:, 0, 0, 0]] == batch.labels.tolist()


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (IMAGES[0], r"dataset's samples to be \(image, label, ...\) or a mapping, but got Tensor of shape \(3, 2, 2\)"),
        ((IMAGES[0],), r"Expected the dataset's samples to be .* but got tuple of 1"),
        ("a.png", r"Expected the dataset's samples to be .* but got str 'a.png'"),
        (None, r"Expected the dataset's samples to be .* but got NoneType"),
        ({"img": 0, "label": 1}, "got a mapping without 'image': 'img', 'label'. Give the names of yours: `keys="),
        ((IMAGES[0], "cat"), "Expected a sample's label to be a class number, but got str 'cat'. Let the dataset return"),
        ((IMAGES[0], 0.5), "label to be a class number, but got float 0.5"),
        ((IMAGES[0], float("nan")), "label to be a class number, but got float nan"),
        ((IMAGES[0], torch.eye(3)[0]), r"label to be a class number, but got Tensor of shape \(3,\)"),
        ((IMAGES[0], [0, 1]), "label to be a class number, but got list of 2"),
        ((IMAGES[0], {"class": 1}), "label to be a class number, but got dict of 1"),
        ([{"image": 1}, {"image": 2}], "label to be a class number, but got dict of 1"),
        ((object(), 0), "The samples cannot be put together to a batch: .*object.*. Let the dataset return images as tensors"),
    ],
)  # fmt: skip
def test_other_samples_are_named(sample, message):
    with pytest.raises(UsageError, match=message):
        next(iter(BalancedMixUpLoader([sample] * 6, LABELS)))


def test_images_of_several_sizes_are_named():
    samples = [(torch.zeros(3, size, size), label) for size, label in zip([4, 4, 4, 5, 5, 5], LABELS, strict=True)]
    with pytest.raises(UsageError, match=r"cannot be put together to a batch: stack expects each tensor to be equal size"):
        next(iter(BalancedMixUpLoader(samples, LABELS)))


def test_without_set_epoch_the_next_epoch_follows_a_finished_one():
    def loader():
        return BalancedMixUpLoader(list(zip(IMAGES, LABELS, strict=True)), LABELS, batch_size=2, alpha=2.0)

    def rows(batches):
        return [batch.images[:, 0, 0, 0].tolist() for batch in batches]

    told, untold = loader(), loader()
    next(iter(untold))  # a look at a batch is not an epoch
    assert [rows(untold) for _ in range(3)] == [rows(told.set_epoch(epoch)) for epoch in range(3)]
    assert rows(untold.set_epoch(1)) == rows(untold.set_epoch(1)) == rows(told.set_epoch(1))


def test_the_loader_has_what_loops_ask_of_a_data_loader():
    loader = BalancedMixUpLoader(list(zip(IMAGES, LABELS, strict=True)), LABELS, batch_size=2, pin_memory=False)
    assert not isinstance(loader, torch.utils.data.DataLoader)  # or Lightning and Accelerate would divide it again
    assert loader.batch_sampler is loader.sampler
    assert loader.num_workers == 0
    assert len(pickle.loads(pickle.dumps(loader))) == len(loader) == 3
    assert not hasattr(loader, "unknown")
