"""Sampling: Eq. 2 by hand, streams that are a function of (seed, epoch), ranks that together are one process, no size limit."""

import tracemalloc
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.utils.data import DataLoader, TensorDataset

from balanced_mixup import sampling
from balanced_mixup.errors import UsageError
from balanced_mixup.sampling import (
    BranchSampler,
    ClassBranch,
    InstanceBranch,
    class_branch,
    class_probabilities,
    class_sampler,
    instance_branch,
    instance_sampler,
    progressive_branch,
    progressive_probabilities,
)

law = settings(max_examples=60, deadline=None)
some_counts = st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any)
some_labels = st.lists(st.integers(0, 4), min_size=1, max_size=40)

# Class 2 is absent; the rows of the classes are interleaved.
COUNTS = [600, 60, 0, 300, 40]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), COUNTS))
forks = (
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
)
needs_workers = pytest.param(2, marks=forks)


def batches_of(sampler, batch_size):
    rows = list(sampler)
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


# ---- Eq. 2 ----


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        (1, [16 / 21, 4 / 21, 0, 1 / 21]),
        (0.5, [4 / 7, 2 / 7, 0, 1 / 7]),
        (0, [1 / 3, 1 / 3, 0, 1 / 3]),
        (2, [256 / 273, 16 / 273, 0, 1 / 273]),
        (-1, [1 / 21, 4 / 21, 0, 16 / 21]),
    ],
)
def test_eq_2_by_hand(q, expected):
    assert class_probabilities([16, 4, 0, 1], q) == pytest.approx(expected)


@law
@given(some_counts, st.floats(-400, 400))
@example([1, 10**6], -400.0)
@example([1, 10**6], 400.0)
def test_probabilities_sum_to_1_and_an_absent_class_is_never_drawn(counts, q):
    p = class_probabilities(counts, q)
    assert p.sum() == pytest.approx(1)
    assert ((p >= 0) & (p <= 1)).all()
    assert not p[np.array(counts) == 0].any()


@law
@given(some_counts, st.floats(-3, 3))
def test_probabilities_follow_the_ratio_of_the_counts(counts, q):
    p = class_probabilities(counts, q)
    n = np.array(counts, float)
    largest = int(n.argmax())
    for k in np.flatnonzero(n):
        assert p[k] / p[largest] == pytest.approx((n[k] / n[largest]) ** q)


@law
@given(some_counts, st.floats(0, 3), st.floats(0, 3))
def test_probabilities_are_monotone_in_the_counts_and_larger_q_favours_the_largest(counts, q, other_q):
    p = class_probabilities(counts, q)
    assert (np.diff(p[np.argsort(counts)]) >= -1e-15).all()
    low, high = sorted((q, other_q))
    assert class_probabilities(counts, low).max() <= class_probabilities(counts, high).max() + 1e-12


@law
@given(some_counts)
def test_q_1_is_the_frequencies_and_q_0_is_each_present_class_alike(counts):
    n = np.array(counts)
    assert class_probabilities(counts, 1) == pytest.approx(n / n.sum())
    assert class_probabilities(counts, 0) == pytest.approx((n > 0) / (n > 0).sum())


@pytest.mark.parametrize("counts", [[3, 1], (3, 1), np.array([3, 1], np.uint8), torch.tensor([3, 1])])
def test_counts_may_be_any_array(counts):
    assert class_probabilities(counts, 1).tolist() == [0.75, 0.25]


@pytest.mark.parametrize("counts", [[], [0, 0], [3, -1], [[1, 2]], [1, float("nan")], [1, float("inf")]])
def test_bad_counts_are_named(counts):
    with pytest.raises(UsageError, match="Expected `counts` to be one number >= 0 per class, at least one above 0, but got"):
        class_probabilities(counts, 1)


@pytest.mark.parametrize("q", [float("nan"), float("inf"), -float("inf")])
def test_bad_q_is_named(q):
    with pytest.raises(UsageError, match=f"Expected `q` to be a finite number, but got {q}"):
        class_probabilities([1, 2], q)


# ---- Progressive ----


def test_progressive_by_hand():
    # Frequencies 0.8, 0.2; classes alike 0.5, 0.5; three epochs: t = 0, 1/2, 1.
    assert progressive_probabilities([8, 2], 0, 3) == pytest.approx([0.8, 0.2])
    assert progressive_probabilities([8, 2], 1, 3) == pytest.approx([0.65, 0.35])
    assert progressive_probabilities([8, 2], 2, 3) == pytest.approx([0.5, 0.5])


@law
@given(some_counts, st.integers(2, 12))
def test_progressive_goes_from_instance_to_class_sampling(counts, epochs):
    steps = np.array([progressive_probabilities(counts, epoch, epochs) for epoch in range(epochs)])
    assert steps[0] == pytest.approx(class_probabilities(counts, 1))
    assert steps[-1] == pytest.approx(class_probabilities(counts, 0))
    assert steps.sum(1) == pytest.approx(1)
    # Each class goes one way: a frequent one only down, a rare one only up.
    moves = np.diff(steps, axis=0)
    assert (moves * (steps[-1] - steps[0]) >= -1e-15).all()
    assert progressive_probabilities(counts, epochs + 5, epochs) == pytest.approx(steps[-1])


def test_progressive_over_one_epoch_is_instance_sampling():
    assert progressive_probabilities([8, 2], 0, 1) == pytest.approx([0.8, 0.2])


def test_progressive_branch_follows_the_epochs():
    labels = np.repeat([0, 1], [900, 100])
    branch = progressive_branch(labels, 3, seed=0)
    shares = [labels[branch.rows(epoch, np.arange(20_000))].mean() for epoch in range(4)]
    assert shares == pytest.approx([0.1, 0.3, 0.5, 0.5], abs=0.015)


@pytest.mark.parametrize(("epoch", "epochs"), [(0, 0), (-1, 3)])
def test_bad_epochs_are_named(epoch, epochs):
    with pytest.raises(UsageError, match=f"Expected `epochs` >= 1 and `epoch` >= 0, but got {epochs} and {epoch}"):
        progressive_probabilities([1, 2], epoch, epochs)


# ---- Branches ----


@law
@given(st.integers(1, 300), st.integers(0, 5), st.integers(0, 3))
def test_instance_branch_gives_each_row_once_a_lap(n, seed, epoch):
    rows = InstanceBranch(n, seed=seed).rows(epoch, np.arange(3 * n)).reshape(3, n)
    assert (np.sort(rows, axis=1) == np.arange(n)).all()
    if n > 20:
        assert (rows[0] != rows[1]).any()


@pytest.mark.parametrize("q", [1.0, 0.5, 0.0])
def test_class_branch_draws_classes_by_eq_2_and_members_alike(q):
    draws = 40_000
    rows = class_branch(LABELS, q, seed=1).rows(0, np.arange(draws))
    drawn = np.bincount(LABELS[rows], minlength=5)
    expected = class_probabilities(COUNTS, q) * draws
    present = np.array(COUNTS) > 0
    assert drawn[2] == 0
    assert chisquare(drawn[present], expected[present]).pvalue > 0.001
    for k in np.flatnonzero(present):
        members = np.bincount(rows, minlength=len(LABELS))[k == LABELS]
        assert len(members) == COUNTS[k]
        assert chisquare(members).pvalue > 0.001


def test_class_and_member_are_independent_of_the_draw_before():
    labels = np.repeat([0, 1], [2, 2])
    rows = class_branch(labels, seed=0).rows(0, np.arange(40_000))
    assert chisquare(np.bincount(rows[:-1:2] * 4 + rows[1::2], minlength=16)).pvalue > 0.001


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.tolist(),
        torch.from_numpy(LABELS),
        *(LABELS.astype(kind) for kind in (np.int8, np.uint8, np.int16, np.int32, np.uint64)),
    ],
)
def test_labels_may_be_of_any_integer_type(labels):
    positions = np.arange(500)
    assert (class_branch(labels, seed=2).rows(0, positions) == class_branch(LABELS, seed=2).rows(0, positions)).all()


@pytest.mark.parametrize("classes", [255, 257, 65_535, 70_000])
def test_members_are_of_their_class_however_many_classes(classes):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(classes), 2))
    for wanted in (0, 1, classes // 2, classes - 1):
        branch = ClassBranch(labels, lambda counts, epoch, wanted=wanted: np.arange(classes) == wanted)
        assert set(branch.rows(0, np.arange(40)).tolist()) == set(np.flatnonzero(labels == wanted).tolist())


@pytest.mark.parametrize("draw", [0.0, 1 - 2.0**-53])
def test_the_smallest_and_the_largest_draw_are_of_a_class_that_has_rows(monkeypatch, draw):
    monkeypatch.setattr(sampling, "uniforms", lambda positions, *key: np.full(len(positions), draw))
    # Classes 0, 2 and 3 of the first have no rows; a tenth is no binary fraction, so the sum of ten is not quite 1.
    for labels in ([1, 1, 4], list(range(10)), [3]):
        rows = class_branch(labels).rows(0, np.arange(20))
        assert {labels[row] for row in rows} == {min(labels) if draw == 0 else max(labels)}


def test_each_epoch_draws_its_own_classes_and_its_own_members():
    branch = class_branch(LABELS, seed=0)
    first, second = branch.rows(0, np.arange(400)), branch.rows(1, np.arange(400))
    # Four classes alike: a quarter of the positions agree by chance.
    assert (LABELS[first] == LABELS[second]).mean() == pytest.approx(0.25, abs=0.1)
    assert (first == second).mean() < 0.05


@law
@given(some_labels, st.sampled_from(["instance", "class", "progressive"]), st.integers(0, 40), st.integers(0, 4))
def test_a_branch_is_a_function_of_seed_epoch_and_position(labels, kind, cut, epoch):
    def make(seed):
        return {
            "instance": lambda: instance_branch(labels, seed=seed),
            "class": lambda: class_branch(labels, seed=seed),
            "progressive": lambda: progressive_branch(labels, 5, seed=seed),
        }[kind]()

    positions = np.arange(40)
    branch = make(3)
    whole = branch.rows(epoch, positions)
    assert whole.dtype == np.int64
    assert set(whole.tolist()) <= set(range(len(labels)))
    branch.rows(epoch + 1, positions)
    pieces = [branch.rows(epoch, part) for part in (positions[cut:], positions[:cut])]
    assert (np.concatenate(pieces[::-1]) == whole).all()
    assert (make(3).rows(epoch, positions) == whole).all()
    if len(labels) >= 10:
        assert (branch.rows(epoch + 1, positions) != whole).any()
        assert (make(4).rows(epoch, positions) != whole).any()


@pytest.mark.parametrize("labels", [[], [[0, 1]], [0.0, 1.0], [0, -1], ["a", "b"], [True, False]])
def test_bad_labels_are_named(labels):
    with pytest.raises(UsageError, match="Expected `labels` to be a non-empty list of class numbers from 0, one per sample"):
        class_branch(labels)


def test_an_instance_branch_needs_a_row():
    with pytest.raises(UsageError, match="Expected `n` to be at least 1, but got 0"):
        InstanceBranch(0)


# ---- Samplers ----


@law
@given(some_labels, st.integers(1, 5), st.integers(1, 7), st.booleans(), st.integers(0, 2))
@example([0, 1, 1], 5, 2, True, 0)
@example([0, 1, 1, 0, 1, 0, 1, 0, 1], 2, 4, True, 0)
def test_ranks_together_see_the_batches_of_one_process(labels, ranks, batch_size, instance, epoch):
    ranks = min(ranks, len(labels))

    def sampler(rank, world_size):
        if instance:
            made = instance_sampler(len(labels), seed=1, rank=rank, world_size=world_size)
        else:
            made = class_sampler(labels, seed=1, rank=rank, world_size=world_size)
        made.set_epoch(epoch)
        return made

    whole = sampler(0, 1)
    parts = [sampler(rank, ranks) for rank in range(ranks)]
    # Nothing twice: rank r has positions r, r + R, r + 2R ..., as many as the others, or DDP would wait for ever.
    divided = list(whole)[: len(labels) // ranks * ranks]
    for rank, part in enumerate(parts):
        assert list(part) == divided[rank::ranks]
        assert len(part) == len(list(part)) == len(parts[0])
    if instance and ranks == 1:
        assert sorted(parts[0]) == list(range(len(labels)))
    # Batch for batch, the ranks with batch b are one process with batch R b.
    cut = [batches_of(part, batch_size) for part in parts]
    for step, expected in enumerate(batches_of(divided, ranks * batch_size)):
        assert Counter(row for batches in cut for row in batches[step]) == Counter(expected)


@law
@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 70), st.integers(0, 3))
def test_an_epoch_resumes_where_it_stopped(n, ranks, start, epoch):
    ranks = min(ranks, n)
    for rank in range(ranks):
        sampler = instance_sampler(n, seed=1, rank=rank, world_size=ranks)
        sampler.set_epoch(epoch)
        whole = list(sampler)
        sampler.set_epoch(epoch, start)
        assert list(sampler) == whole[start:]
        assert len(sampler) == len(whole[start:])
        sampler.set_epoch(epoch)
        assert list(sampler) == whole


def test_epochs_and_seeds_have_their_own_order():
    sampler, other = instance_sampler(50, seed=0), instance_sampler(50, seed=1)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        other.set_epoch(epoch)
        orders += [tuple(sampler), tuple(other)]
    assert len(set(orders)) == 6


def test_a_long_epoch_is_the_stream_of_its_branch():
    branch = InstanceBranch(10_000, seed=4)
    assert list(BranchSampler(branch)) == branch.rows(0, np.arange(10_000)).tolist()


def test_num_samples_sets_the_length_of_an_epoch():
    sampler = class_sampler([0, 0, 0, 1], num_samples=1000, seed=0)
    assert len(sampler) == len(list(sampler)) == 1000
    assert np.mean([row == 3 for row in sampler]) == pytest.approx(0.5, abs=0.05)
    # More draws than rows from the instance branch: whole laps first.
    assert Counter(BranchSampler(InstanceBranch(4), num_samples=8)) == dict.fromkeys(range(4), 2)


@pytest.mark.parametrize("workers", [0, needs_workers])
@pytest.mark.parametrize("kind", ["instance", "class"])
def test_samplers_work_in_a_plain_data_loader(kind, workers):
    labels = [0] * 20 + [1] * 3
    sampler = instance_sampler(23, seed=1) if kind == "instance" else class_sampler(labels, seed=1)
    loader = DataLoader(TensorDataset(torch.arange(23)), batch_size=5, sampler=sampler, num_workers=workers)
    seen = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        assert len(loader) == 5
        rows = torch.cat([batch for (batch,) in loader]).tolist()
        assert rows == list(sampler)
        seen.append(rows)
    assert seen[0] != seen[1]


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 2), (2, 2), (0, 0)])
def test_bad_ranks_are_named(rank, world_size):
    with pytest.raises(UsageError, match=rf"Expected `rank` to be in 0\.\.{world_size - 1}, but got {rank}"):
        instance_sampler(10, rank=rank, world_size=world_size)


def test_bad_lengths_and_starts_are_named():
    with pytest.raises(UsageError, match="Expected `num_samples` to be at least 1, but got 0"):
        class_sampler([0, 1], num_samples=0)
    sampler = class_sampler([0, 1])
    with pytest.raises(UsageError, match="Expected `epoch` and `start` to be at least 0, but got 0 and -1"):
        sampler.set_epoch(0, -1)
    with pytest.raises(UsageError, match="Expected `epoch` and `start` to be at least 0, but got -1 and 0"):
        sampler.set_epoch(-1)


# ---- Any number of samples ----


def test_twenty_million_samples():
    # torch's WeightedRandomSampler stops at 2^24 = 16.8 million.
    labels = np.zeros(20_000_000, np.uint8)
    labels[::1000] = 1
    sampler = class_sampler(labels, seed=0)
    rows = np.array(list(islice(sampler, 20_000)))
    assert len(sampler) == 20_000_000
    assert labels[rows].mean() == pytest.approx(0.5, abs=0.02)
    assert (rows > 2**24).mean() == pytest.approx(1 - 2**24 / 20_000_000, abs=0.02)
    # Half of the draws are of the frequent class, nearly all of them different rows.
    assert len(set(rows[labels[rows] == 0].tolist())) > 9_800


def test_a_thousand_million_samples():
    n = 10**9
    sampler = instance_sampler(n, seed=0, rank=1, world_size=2)
    rows = np.array(list(islice(sampler, 20_000)))
    assert len(sampler) == n // 2
    assert len(set(rows.tolist())) == len(rows)
    assert chisquare(np.bincount(rows // (n // 50), minlength=50)).pvalue > 0.001
    last = InstanceBranch(n).rows(0, np.array([n - 1]))
    assert 0 <= last[0] < n


def peak_memory(branch, positions):
    branch.rows(0, positions)
    tracemalloc.start()
    branch.rows(0, positions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    ("make", "large"),
    [
        (lambda n: InstanceBranch(n), 2**40),
        (lambda n: class_branch(np.arange(n) % 5), 2**21),
        (lambda n: progressive_branch(np.arange(n) % 5, 3), 2**21),
    ],
    ids=["instance", "class", "progressive"],
)
def test_a_draw_does_not_work_on_more_memory_where_there_are_more_samples(make, large):
    positions = np.arange(1000)
    assert peak_memory(make(large), positions) < 2 * peak_memory(make(2**12), positions)
