"""Batches: what is read, what is in them against a loop over samples, and that they are a function of (seed, epoch, step)."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS
from balanced_mixup.data.batches import EvalBatches, TrainBatches, prefetched
from balanced_mixup.data.pixels import as_pixels
from balanced_mixup.errors import UsageError
from balanced_mixup.methods import Stage
from balanced_mixup.mixing import BalancedMixUp, Cmo, CutMix, MixUp, NoMix, Remix
from balanced_mixup.randomness import generator, uniforms
from balanced_mixup.sampling import class_branch, instance_branch
from balanced_mixup.training.preprocessing import scaled

law = settings(max_examples=30)
some_labels = st.lists(st.integers(0, 3), min_size=1, max_size=30).map(lambda labels: np.array(labels, np.int64))
some_mixings = st.sampled_from(
    [
        *(NoMix(), MixUp(0.5, "batch"), MixUp(1.0, "sample"), BalancedMixUp(0.2, "batch"), BalancedMixUp(0.5, "sample")),
        *(CutMix(1.0, "sample"), Cmo(1.0, 0.7, "sample"), Remix([9, 3, 2, 1])),
    ]
)


class CountedPixels:
    """Photograph i is full of the number i; keeps what is read, a list for each gather."""

    def __init__(self, n, size=4):
        self.array = np.arange(n, dtype=np.int64).astype(np.uint8)[:, None, None, None] * np.ones((n, size, size, 3), np.uint8)
        self.shape = self.array.shape
        self.reads = []

    def gather(self, rows):
        self.reads.append(rows.tolist())
        return torch.from_numpy(self.array[rows])


def make(pixels, labels, rows, mixing, *, batch_size=4, seed=0, epoch=0, rank=0, world_size=1):
    train = labels[rows]
    partners = class_branch(train, seed=seed) if mixing.needs_partners else None
    return TrainBatches(
        as_pixels(pixels),
        labels,
        rows,
        Stage(instance_branch(train, seed=seed), partners, mixing),
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
        rank=rank,
        world_size=world_size,
    )


def subset(labels, seed=0):
    """Return labels and rows of a larger data set in which `labels` are the training part, scattered and out of order."""
    n = len(labels)
    rows = np.random.default_rng(seed).permutation(3 * n)[:n]
    everything = np.full(3 * n, 3, np.int64)
    everything[rows] = labels
    return everything, rows


def same(batch, other):
    return all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


# ---- What is read ----


@law
@given(some_labels, some_mixings, st.integers(1, 8), st.integers(0, 3))
def test_only_the_samples_and_the_partners_that_count_are_read_in_one_gather(train, mixing, batch_size, epoch):
    labels, rows = subset(train)
    pixels = CountedPixels(len(labels))
    batches = make(pixels, labels, rows, mixing, batch_size=batch_size, epoch=epoch)
    instance, balanced = batches.stage.branch, batches.stage.partners
    b = min(batch_size, len(train))
    for step in range(len(batches)):
        pixels.reads.clear()
        batch = batches.step(step)
        positions = np.arange(step * b, (step + 1) * b)
        expected = rows[instance.rows(epoch, positions)].tolist()
        if mixing.needs_partners:
            expected += rows[balanced.rows(epoch, positions[batch.weight.numpy() > 0])].tolist()
        assert pixels.reads == [expected]
        assert set(expected) <= set(rows.tolist())
        assert batch.pixels.shape == (len(expected), 4, 4, 3)
        assert batch.pixels[:, 0, 0, 0].tolist() == expected
        assert batch.labels.tolist() == labels[expected].tolist()


def test_the_paper_reads_few_partners():
    labels, rows = subset(np.repeat([0, 1], [180, 20]))
    pixels = CountedPixels(len(labels), size=1)
    reads = {}
    for alpha in (0.1, 0.2):
        pixels.reads.clear()
        for epoch in range(5):
            list(make(pixels, labels, rows, BalancedMixUp(alpha, "sample"), batch_size=10, epoch=epoch))
        reads[alpha] = sum(map(len, pixels.reads)) / 1000
    # One image a sample, and a partner for all but (1/510)^alpha of them.
    assert reads == pytest.approx({0.1: 2 - 0.54, 0.2: 2 - 0.29}, abs=0.06)


# ---- What is in them ----


def naive_step(pixels, labels, rows, stage, augmentation, b, seed, epoch, step, classes):
    """Return images and targets of a step, one sample at a time, each image read and augmented by itself."""

    def augmented(branch, position):
        row = rows[(stage.branch, stage.partners)[branch].rows(epoch, np.array([position]))[0]]
        place = (position * 2 + branch) * N_UNIFORMS + np.arange(N_UNIFORMS)
        u = torch.from_numpy(uniforms(place, seed, "augment", epoch).astype(np.float32))
        image = torch.from_numpy(pixels[row].astype(np.float32) / 255).permute(2, 0, 1)
        return augmentation(image[None], u[None])[0], torch.eye(classes)[labels[row]]

    positions = np.arange(step * b, (step + 1) * b)
    drawn = np.concatenate([branch.rows(epoch, positions) for branch in (stage.branch, stage.partners) if branch is not None])
    partner, weight, target_weight, box = stage.mix.pair(labels[rows[drawn]], b, generator(seed, "mixing", epoch, step))
    images, targets = [], []
    for i in range(b):
        image, target = augmented(0, step * b + i)
        branch, j = divmod(int(partner[i]), b)
        other, other_target = augmented(branch, step * b + j)
        w, v = float(weight[i]), float(target_weight[i])
        if box is None:
            images.append((1 - w) * image + w * other)
        else:  # whole pixels, and the target by their number
            height, width = image.shape[1:]
            top, left, bottom, right = np.round(box[i] * np.float32([height, width, height, width])).astype(int)
            image[:, top:bottom, left:right] = other[:, top:bottom, left:right]
            images.append(image)
            v = (bottom - top) * (right - left) / (height * width)
        targets.append((1 - v) * target + v * other_target)
    return torch.stack(images), torch.stack(targets)


@settings(max_examples=15)
@given(some_labels, some_mixings, st.integers(1, 6), st.integers(0, 5), st.integers(0, 3))
@example(np.array([0]), BalancedMixUp(0.5, "sample"), 4, 0, 0)
@example(np.array([0, 1]), BalancedMixUp(2.0, "batch"), 1, 1, 1)
def test_a_batch_is_what_a_loop_over_its_samples_makes(train, mixing, batch_size, seed, epoch):
    labels, rows = subset(train)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 6, 5, 3), dtype=np.uint8)
    batches = make(pixels, labels, rows, mixing, batch_size=batch_size, seed=seed, epoch=epoch)
    augmentation = AUGMENTATIONS["paper"]
    b = min(batch_size, len(train))
    for step, batch in enumerate(batches):
        images, targets = batch.mixed(augmentation(scaled(batch.pixels), batch.uniforms), 4, mixing)
        naive = naive_step(pixels, labels, rows, batches.stage, augmentation, b, seed, epoch, step, 4)
        assert torch.allclose(images, naive[0], atol=1e-5)
        assert torch.allclose(targets, naive[1], atol=1e-6)
        assert torch.allclose(targets.sum(1), torch.ones(b), atol=1e-6)


def test_kinds_and_shapes():
    labels, rows = subset(np.array([0, 0, 0, 0, 1, 2, 2]))
    batch = make(CountedPixels(21), labels, rows, BalancedMixUp(3.0, "sample"), batch_size=3).step(0)
    assert [part.dtype for part in batch] == [
        torch.uint8,
        torch.int64,
        torch.float32,
        torch.int64,
        torch.float32,
        torch.float32,
        torch.float32,
    ]
    assert [tuple(part.shape) for part in batch] == [(6, 4, 4, 3), (6,), (6, N_UNIFORMS), (3,), (3,), (3,), (3, 4)]
    assert batch.partner.tolist() == [3, 4, 5]


def test_two_classes_partners_are_half_of_each():
    train = np.repeat([0, 1], [380, 20])
    labels, rows = subset(train)
    pixels = np.zeros((len(labels), 1, 1, 3), np.uint8)
    batches = [batch for epoch in range(2) for batch in make(pixels, labels, rows, BalancedMixUp(4.0), epoch=epoch)]
    own = torch.cat([batch.labels[:4] for batch in batches])
    partners = torch.cat([batch.labels[4:] for batch in batches])
    assert own.float().mean() == pytest.approx(0.05)
    assert len(partners) > 780
    assert partners.float().mean() == pytest.approx(0.5, abs=0.07)


@law
@given(some_labels, st.integers(1, 35), st.integers(0, 3))
def test_an_epoch_sees_each_training_row_once_less_the_last_incomplete_batch(train, batch_size, epoch):
    labels, rows = subset(train)
    batches = make(CountedPixels(len(labels)), labels, rows, NoMix(), batch_size=batch_size, epoch=epoch)
    seen = [row for batch in batches for row in batch.pixels[:, 0, 0, 0].tolist()]
    b = min(batch_size, len(train))
    assert len(batches) == len(list(batches)) == len(train) // b
    assert len(seen) == len(set(seen)) == len(batches) * b
    assert set(seen) <= set(rows.tolist())
    assert len(rows) - len(seen) < b


# ---- A function of (seed, epoch, step) ----


@law
@given(some_labels, some_mixings, st.integers(0, 3), st.integers(0, 3), st.data())
def test_a_step_does_not_depend_on_the_steps_before(train, mixing, seed, epoch, data):
    labels, rows = subset(train)

    def fresh():
        return make(CountedPixels(len(labels)), labels, rows, mixing, seed=seed, epoch=epoch)

    in_order = list(fresh())
    step = data.draw(st.integers(0, len(in_order) - 1))
    assert same(fresh().step(step), in_order[step])
    assert all(same(a, b) for a, b in zip(fresh(), in_order, strict=True))


@pytest.mark.parametrize("mixing", [NoMix(), MixUp(1.0), BalancedMixUp(1.0)], ids=["none", "mixup", "balanced"])
def test_seeds_epochs_and_steps_differ_in_every_draw(mixing):
    train = np.repeat([0, 1, 2], [40, 15, 5])
    labels, rows = subset(train)

    def step(seed, epoch, step):
        return make(CountedPixels(len(labels)), labels, rows, mixing, batch_size=16, seed=seed, epoch=epoch).step(step)

    first = step(0, 0, 0)
    for other in (step(1, 0, 0), step(0, 1, 0), step(0, 0, 1)):
        assert not torch.equal(first.pixels[:16], other.pixels[:16])
        assert not (first.uniforms[:16] == other.uniforms[:16]).any()
        assert isinstance(mixing, NoMix) or not torch.equal(first.weight, other.weight)


@law
@given(some_mixings, st.integers(0, 3))
def test_an_images_augmentation_depends_on_its_place_in_the_epoch_alone(mixing, epoch):
    labels, rows = subset(np.repeat([0, 1], [20, 4]))

    def epoch_of(batch_size):
        batches = list(make(CountedPixels(72), labels, rows, mixing, batch_size=batch_size, epoch=epoch))
        return [torch.cat([getattr(batch, part)[:batch_size] for batch in batches]) for part in ("pixels", "uniforms")]

    for whole, cut in zip(epoch_of(12), epoch_of(3), strict=True):
        assert torch.equal(whole, cut)


def test_every_image_of_an_epoch_has_its_own_augmentation():
    labels, rows = subset(np.repeat([0, 1], [20, 4]))
    u = torch.cat([batch.uniforms for batch in make(CountedPixels(72), labels, rows, BalancedMixUp(2.0, "sample"))])
    # 24 samples and as many partners, but for a negligible weight or two; all numbers of all of them differ.
    assert len(u) > 44
    assert len(set(u.flatten().tolist())) > u.numel() - 3
    assert ((u >= 0) & (u <= 1)).all()


# ---- Validation and prediction ----


@law
@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 9))
def test_evaluation_reads_each_row_once_in_order(n, batch_size, seed):
    pixels = CountedPixels(60)
    rows = np.random.default_rng(seed).permutation(60)[:n]
    batches = EvalBatches(pixels, rows, batch_size)
    read = list(batches)
    assert [row for batch in read for row in batch[:, 0, 0, 0].tolist()] == rows.tolist()
    assert sorted(row for part in pixels.reads for row in part) == sorted(rows.tolist())  # by several threads
    assert len(batches) == len(read)
    assert all(len(batch) == batch_size for batch in read[:-1])
    assert all(batch.dtype == torch.uint8 and batch.shape[1:] == (4, 4, 3) for batch in read)
    assert all(torch.equal(a, b) for a, b in zip(batches, read, strict=True))


# ---- Several processes, and steps that are prepared ahead ----


@law
@given(some_labels, some_mixings, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
def test_the_ranks_together_see_the_batches_of_one_process(train, mixing, world_size, share, epoch):
    labels, rows = subset(train)
    assume(len(train) >= world_size)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 3, 3, 3), dtype=np.uint8)

    def mixed(batch):
        images = AUGMENTATIONS["paper"](scaled(batch.pixels), batch.uniforms)
        return batch.mixed(images, 4, mixing)

    def part(rank, world_size, batch_size):
        return make(pixels, labels, rows, mixing, batch_size=batch_size, epoch=epoch, rank=rank, world_size=world_size)

    # A batch that is no larger than the data is the same whoever cuts it.
    size = min(share * world_size, len(train) // world_size * world_size)
    alone = part(0, 1, size)
    ranks = [part(rank, world_size, size) for rank in range(world_size)]
    assert {len(batches) for batches in ranks} == {len(alone)}
    for step in range(len(alone)):
        images, targets = mixed(alone.step(step))
        for rank, batches in enumerate(ranks):
            own_images, own_targets = mixed(batches.step(step))
            assert torch.allclose(own_images, images[rank::world_size], atol=1e-5)
            assert torch.equal(own_targets, targets[rank::world_size])


def test_a_batch_that_cannot_be_cut_for_the_ranks_is_refused():
    labels, rows = subset(np.arange(9) % 3)
    with pytest.raises(UsageError, match="multiple of the number of processes, 2"):
        make(CountedPixels(len(labels)), labels, rows, NoMix(), batch_size=3, world_size=2)


@law
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 9))
def test_the_ranks_together_score_each_image_and_take_equally_many_batches(n, world_size, batch_size):
    rows = np.random.default_rng(n).permutation(60)[:n]
    parts = [EvalBatches(CountedPixels(60), rows, batch_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert len({len(part) for part in parts}) == 1
    read = [torch.cat(list(part))[:, 0, 0, 0].tolist() for part in parts]
    together = [row for shares in zip(*read, strict=True) for row in shares]
    assert together[:n] == rows.tolist()
    assert len(together) < n + world_size


def test_steps_are_prepared_while_the_model_works_and_come_in_order():
    made = []

    def make(number):
        made.append(number)
        return torch.tensor(number)

    steps = prefetched(make, 50)
    assert next(steps).item() == 0
    while len(made) < 2:
        time.sleep(0.01)
    assert 2 <= len(made) < 20
    assert [step.item() for step in steps] == list(range(1, 50))
    assert sorted(made) == list(range(50))


def test_what_fails_in_the_preparing_thread_fails_where_the_step_is_used():
    def make(number):
        if number == 3:
            raise UsageError("the third")
        return torch.tensor(number)

    steps = prefetched(make, 9)
    assert [next(steps).item() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UsageError, match="the third"):
        next(steps)


def test_steps_that_nobody_wants_any_more_are_not_prepared():
    made = []
    steps = prefetched(lambda number: made.append(number) or torch.tensor(number), 1000)
    next(steps)
    steps.close()
    assert len(made) < 20
    assert threading.active_count() < 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_steps_arrive_on_the_gpu_as_they_were_made():
    device = torch.device("cuda")
    steps = list(prefetched(lambda number: torch.full((1000, 1000), number), 20, device))
    assert all(step.device.type == "cuda" for step in steps)
    assert [step.unique().tolist() for step in steps] == [[number] for number in range(20)]
