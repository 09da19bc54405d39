"""Mixing: the arithmetic, the distributions of weights and partners, and the loader over both branches."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest
from torch.utils.data import DataLoader, Dataset, TensorDataset

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing import NEGLIGIBLE, BalancedMixUp, BalancedMixUpLoader, MixUp, NoMix, PairedBatch, mix, one_hot
from balanced_mixup.randomness import generator

law = settings(max_examples=60, deadline=None)
forks = (
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
)
needs_workers = pytest.param(2, marks=forks)
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


class Numbered(Dataset):
    """Image i is full of the number i; counts which samples are read."""

    def __init__(self, labels):
        self.labels = list(labels)
        self.reads = []

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.reads.append(index)
        return torch.full((1, 2, 2), float(index)), self.labels[index]


def images_of(batch, generator):
    return torch.randn(batch, 3, 2, 2, generator=generator)


def rows_of(batch):
    """Return the instance rows and the partner rows of a batch of `Numbered`."""
    return batch.images[:, 0, 0, 0].int().tolist(), batch.partner_images[:, 0, 0, 0].int().tolist()


def content(loader):
    """Return an epoch as plain lists: (row, label, partner row, partner label, weight) for each sample of each step."""
    return [list(zip(*(part.reshape(len(part), -1)[:, 0].tolist() for part in batch), strict=True)) for batch in loader]


def columns(epoch):
    """Return the rows, the partner rows and the weights of an epoch of `content`."""
    samples = [sample for batch in epoch for sample in batch]
    return [[sample[i] for sample in samples] for i in (0, 2, 4)]


# ---- mix ----


def test_mix_by_hand():
    first, second = torch.tensor([[0.0, 1.0], [4.0, 8.0]]), torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    assert mix(first, second, torch.tensor([0.25, 0.5])).tolist() == [[0.25, 1.5], [2.0, 4.0]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weight_0_gives_the_first_bit_for_bit_and_1_the_second(dtype, device):
    g = torch.Generator().manual_seed(0)
    first, second = (images_of(64, g).to(device, dtype) for _ in range(2))
    whole = {torch.float16: torch.int16, torch.bfloat16: torch.int16, torch.float32: torch.int32, torch.float64: torch.int64}
    for weight, expected in ((0.0, first), (1.0, second)):
        mixed = mix(first, second, torch.full((64,), weight, device=device))
        assert mixed.dtype == dtype
        assert torch.equal(mixed.view(whole[dtype]), expected.view(whole[dtype]))


@law
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12), st.integers(2, 6), st.integers(0, 99))
def test_mass_is_conserved(weights, classes, seed):
    g = torch.Generator().manual_seed(seed)
    labels, others = (torch.randint(classes, (len(weights),), generator=g) for _ in range(2))
    targets = mix(one_hot(labels, classes), one_hot(others, classes), torch.tensor(weights))
    assert targets.dtype == torch.float32
    assert torch.allclose(targets.sum(1), torch.ones(len(weights)), atol=1e-6)
    assert (targets >= 0).all()
    for target, label, other, weight in zip(targets, labels, others, weights, strict=True):
        expected = torch.zeros(classes)
        expected[label] += 1 - weight
        expected[other] += weight
        assert torch.allclose(target, expected, atol=1e-6)


@law
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 99))
def test_the_result_is_the_same_on_any_split_of_the_batch(batch, cut, seed):
    g = torch.Generator().manual_seed(seed)
    first, second, weight = images_of(batch, g), images_of(batch, g), torch.rand(batch, generator=g)
    pieces = [mix(first[part], second[part], weight[part]) for part in (slice(cut), slice(cut, None))]
    assert torch.equal(torch.cat(pieces), mix(first, second, weight))


@law
@given(st.integers(1, 8), st.integers(0, 99))
def test_a_mix_lies_between_the_two_and_turned_round_is_the_same(batch, seed):
    g = torch.Generator().manual_seed(seed)
    first, second, weight = images_of(batch, g), images_of(batch, g), torch.rand(batch, generator=g)
    mixed = mix(first, second, weight)
    assert (mixed >= torch.minimum(first, second) - 1e-6).all()
    assert (mixed <= torch.maximum(first, second) + 1e-6).all()
    assert torch.allclose(mixed, mix(second, first, 1 - weight), atol=1e-6)


def test_8_bit_images_are_refused_instead_of_left_unmixed():
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(UsageError, match=r"Expected floating-point tensors to mix, but got torch.uint8. Convert images with"):
        mix(pixels, pixels, torch.tensor([0.5, 0.5]))


def test_one_hot():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


# ---- Weights ----


def pair(mixing, batch, rng):
    """Pair a batch of images, and as many partners, whose classes do not matter."""
    return mixing.pair(np.zeros(2 * batch, np.int64), batch, rng)


def weights_of(mixing, steps=2000, batch=8):
    return np.array([pair(mixing, batch, generator(0, "weights", step)).weight for step in range(steps)])


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_class_balanced_weight_is_beta_alpha_1(alpha, per):
    weights = weights_of(BalancedMixUp(alpha, per), steps=8000 if per == "batch" else 1000)
    draws = weights[:, 0] if per == "batch" else weights.ravel()
    n = len(draws)
    variance = alpha / (alpha + 2) - (alpha / (1 + alpha)) ** 2
    assert draws.mean() == pytest.approx(alpha / (1 + alpha), abs=4 * (variance / n) ** 0.5)
    # A share of (1/510)^alpha is negligible: 54 % at alpha 0.1, 29 % at 0.2, 15 % at 0.3.
    share = (1 / 510) ** alpha
    assert share == pytest.approx({0.1: 0.54, 0.2: 0.29, 0.3: 0.15}[alpha], abs=0.005)
    assert (draws == 0).mean() == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5)
    # Above it the distribution function is w^alpha: Kolmogorov-Smirnov, 0.1 % level.
    kept = np.sort(draws[draws > 0])
    function = (kept**alpha - share) / (1 - share)
    assert kstest(function, "uniform").pvalue > 0.001


def test_weights_of_the_paper_are_small_and_grow_with_alpha():
    means = [weights_of(BalancedMixUp(alpha, "sample"), 500).mean() for alpha in (0.1, 0.2, 0.3)]
    assert means == pytest.approx([0.09, 0.17, 0.23], abs=0.015)
    assert means == sorted(means)


@law
@given(st.floats(0.01, 5), st.sampled_from(["batch", "sample"]), st.integers(1, 20), st.integers(0, 10**6))
@example(1e-3, "sample", 20, 0)
@example(100.0, "sample", 20, 0)
def test_a_weight_is_0_or_counts_and_only_then_there_is_a_partner(alpha, per, batch, step):
    for mixing in (BalancedMixUp(alpha, per), MixUp(alpha, per)):
        partner, weight, target_weight, _ = pair(mixing, batch, generator(0, "step", step))
        assert (target_weight == weight).all()
        assert weight.dtype == np.float32
        assert weight.shape == partner.shape == (batch,)
        assert ((weight == 0) | ((weight >= np.float32(NEGLIGIBLE)) & (weight <= 1))).all()
        own = np.arange(batch)
        assert (partner[weight == 0] == own[weight == 0]).all()
        if per == "batch":
            assert len(set(weight.tolist())) == 1
        if mixing.needs_partners:
            assert (partner[weight > 0] == own[weight > 0] + batch).all()
        else:
            assert partner.max() < batch


def test_one_weight_a_batch_or_one_a_sample():
    per_batch = weights_of(BalancedMixUp(1.0, "batch"), 50)
    assert (per_batch == per_batch[:, :1]).all()
    assert len(set(per_batch[:, 0].tolist())) > 40
    per_sample = weights_of(BalancedMixUp(1.0, "sample"), 50)
    assert all(len(set(row.tolist())) > 4 for row in per_sample)


def test_half_a_grey_level_is_where_a_weight_starts_to_count():
    class Fixed:
        def __init__(self, value):
            self.value = value

        def random(self, size):
            return np.full(size, self.value)

    below, above = (pair(BalancedMixUp(1.0), 3, Fixed(value)) for value in (0.99 / 510, 1.01 / 510))
    assert below.weight.tolist() == [0, 0, 0]
    assert below.partner.tolist() == [0, 1, 2]
    assert above.weight == pytest.approx([1.01 / 510] * 3)
    assert above.partner.tolist() == [3, 4, 5]
    # The largest effect that is left out is under half a grey level of 255.
    assert 255 * NEGLIGIBLE == 0.5


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_weights_are_beta_alpha_alpha_and_symmetric(alpha):
    draws = weights_of(MixUp(alpha, "sample"), 1000).ravel()
    kept = draws[draws > 0]
    low = beta(alpha, alpha).cdf(NEGLIGIBLE)
    assert (draws == 0).mean() == pytest.approx(low, abs=4 * (low * (1 - low) / len(draws)) ** 0.5 + 1e-12)
    assert kstest((beta(alpha, alpha).cdf(kept) - low) / (1 - low), "uniform").pvalue > 0.001
    assert draws.mean() == pytest.approx(0.5, abs=4 * 0.5 / len(draws) ** 0.5)
    assert (draws < 0.25).mean() == pytest.approx((draws > 0.75).mean(), abs=0.03)


def test_mixup_partners_are_a_random_order_of_the_batch():
    seen = Counter()
    for step in range(3000):
        partner, weight, *_ = pair(MixUp(5.0, "batch"), 3, generator(0, "order", step))
        assert (weight > 0).all()
        assert sorted(partner) == [0, 1, 2]
        seen[tuple(partner.tolist())] += 1
    assert len(seen) == 6
    assert min(seen.values()) > 400


def test_no_mixing_leaves_each_sample_by_itself():
    partner, weight, target_weight, _ = pair(NoMix(), 4, generator(0, "none"))
    assert partner.tolist() == [0, 1, 2, 3]
    assert weight.tolist() == target_weight.tolist() == [0, 0, 0, 0]
    assert not NoMix().needs_partners


@pytest.mark.parametrize("mixing", [MixUp, BalancedMixUp])
@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_bad_alpha_is_named(mixing, alpha):
    with pytest.raises(UsageError, match=f"Expected `alpha` to be a number above 0, but got {alpha}"):
        mixing(alpha)


@pytest.mark.parametrize("mixing", [MixUp, BalancedMixUp])
def test_bad_weight_per_is_named(mixing):
    with pytest.raises(UsageError, match="Expected `weight_per` to be 'batch' or 'sample', but got 'image'"):
        mixing(0.2, "image")


# ---- The loader ----


def test_loader_pairs_each_row_once_with_a_draw_of_the_class_branch():
    labels = [0] * 900 + [1] * 80 + [2] * 20
    loader = BalancedMixUpLoader(Numbered(labels), labels, batch_size=50, alpha=4.0, weight_per="sample")
    rows, partners = [], []
    for epoch in range(3):
        own = []
        for batch in loader.set_epoch(epoch):
            first, second = rows_of(batch)
            assert batch.labels.tolist() == [labels[row] for row in first]
            assert batch.partner_labels.tolist() == [labels[row] for row in second]
            assert batch.labels.dtype == torch.int64
            assert batch.weight.dtype == torch.float32
            own += first
            partners += [row for row, weight in zip(second, batch.weight.tolist(), strict=True) if weight > 0]
        assert sorted(own) == list(range(1000))
        rows += own
    assert len(partners) > 2900
    # Each class is a partner equally often, whereas the batches themselves are 90/8/2.
    share = np.bincount([labels[row] for row in partners]) / len(partners)
    assert share == pytest.approx([1 / 3] * 3, abs=0.035)


def test_two_classes_are_not_mixed_with_themselves():
    labels = [0] * 380 + [1] * 20
    loader = BalancedMixUpLoader(Numbered(labels), labels, batch_size=8, alpha=4.0)
    batches = list(loader)
    assert torch.cat([batch.labels for batch in batches]).float().mean() == pytest.approx(0.05)
    assert torch.cat([batch.partner_labels for batch in batches]).float().mean() == pytest.approx(0.5, abs=0.1)
    # A batch mixed with itself would find each partner among its own rows.
    own = sum(len(set(rows_of(batch)[0]) & set(rows_of(batch)[1])) for batch in batches)
    assert own < 0.1 * sum(len(batch.weight) for batch in batches)


@pytest.mark.parametrize(("alpha", "per"), [(0.1, "batch"), (0.2, "sample"), (0.3, "sample")])
def test_a_negligible_partner_is_never_read(alpha, per):
    labels = [0] * 90 + [1] * 10
    dataset = Numbered(labels)
    loader = BalancedMixUpLoader(dataset, labels, batch_size=4, alpha=alpha, weight_per=per)
    unmixed = 0
    for epoch in range(4):
        dataset.reads.clear()
        batches = list(loader.set_epoch(epoch))
        weights = torch.cat([batch.weight for batch in batches])
        unmixed += int((weights == 0).sum())
        expected = Counter()
        for batch in batches:
            first, second = rows_of(batch)
            expected.update(first)
            expected.update(row for row, weight in zip(second, batch.weight.tolist(), strict=True) if weight > 0)
            assert torch.equal(batch.images[batch.weight == 0], batch.partner_images[batch.weight == 0])
        assert Counter(dataset.reads) == expected
        assert len(dataset.reads) == 100 + int((weights > 0).sum())
    assert unmixed / 400 == pytest.approx((1 / 510) ** alpha, abs=0.12)


def test_mixed_is_eq_3():
    labels = [0, 0, 0, 0, 1, 2]
    batch = next(iter(BalancedMixUpLoader(Numbered(labels), labels, batch_size=6, alpha=3.0, weight_per="sample")))
    images, targets = batch.mixed(3)
    first, second = rows_of(batch)
    assert images.shape == (6, 1, 2, 2)
    assert targets.shape == (6, 3)
    for i, w in enumerate(batch.weight.tolist()):
        assert 0 < w < 1
        assert images[i].flatten().tolist() == pytest.approx([(1 - w) * first[i] + w * second[i]] * 4, abs=1e-5)
        expected = [0.0, 0.0, 0.0]
        expected[labels[first[i]]] += 1 - w
        expected[labels[second[i]]] += w
        assert targets[i].tolist() == pytest.approx(expected, abs=1e-6)


def test_any_map_style_dataset_and_any_labels():
    labels = [0, 0, 0, 1, 1, 2]
    images = torch.arange(6.0).reshape(6, 1, 1, 1)
    datasets = [
        TensorDataset(images, torch.tensor(labels)),
        [(images[i], labels[i]) for i in range(6)],
        [(images[i].numpy(), np.int64(labels[i])) for i in range(6)],
    ]
    kinds = [labels, np.array(labels, np.uint8), torch.tensor(labels)]
    epochs = [content(BalancedMixUpLoader(data, given, batch_size=2, alpha=1.0)) for data in datasets for given in kinds]
    assert len(epochs[0]) == 3
    assert all(epoch == epochs[0] for epoch in epochs)


@pytest.mark.parametrize("workers", [0, needs_workers])
def test_an_epoch_is_a_function_of_seed_and_epoch_whatever_the_workers(workers):
    labels = [0] * 20 + [1] * 5

    def epochs(seed, workers):
        loader = BalancedMixUpLoader(
            Numbered(labels), labels, batch_size=5, alpha=0.5, weight_per="sample", seed=seed, num_workers=workers
        )
        return [content(loader.set_epoch(epoch)) for epoch in (1, 0)]

    torch.manual_seed(workers)
    first = epochs(0, workers)
    assert first == epochs(0, 0)
    # Another epoch or seed differs in its rows, in its partners and in its weights.
    for other in (first[1], epochs(1, 0)[0]):
        for one, two in zip(columns(first[0]), columns(other), strict=True):
            assert one != two


@law
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
@example([0, 1, 0], 3, 5, 0)
def test_ranks_together_are_one_process(labels, ranks, batch_size, epoch):
    ranks = min(ranks, len(labels))

    def epoch_of(rank, world_size, batch_size):
        loader = BalancedMixUpLoader(
            Numbered(labels), labels, batch_size=batch_size, alpha=0.5, weight_per="sample", rank=rank, world_size=world_size
        )
        return content(loader.set_epoch(epoch))

    whole = epoch_of(0, 1, ranks * batch_size)
    parts = [epoch_of(rank, ranks, batch_size) for rank in range(ranks)]
    for rank, part in enumerate(parts):
        assert part == [batch[rank::ranks] for batch in whole]


@law
@given(st.integers(1, 30), st.integers(1, 40))
@example(7, 1)
@example(1, 1)
@example(3, 8)
def test_number_and_size_of_the_steps(n, batch_size):
    labels = [i % 2 for i in range(n)]
    loader = BalancedMixUpLoader(Numbered(labels), labels, batch_size=batch_size)
    sizes = [len(batch.weight) for batch in loader]
    assert len(sizes) == len(loader) == max(1, n // batch_size)
    # All whole, but for a data set that is smaller than a batch; no row twice.
    assert set(sizes) == {min(n, batch_size)}
    rows = [row for batch in loader for row in rows_of(batch)[0]]
    assert len(set(rows)) == len(rows)


def test_arguments_of_the_data_loader_reach_it():
    class Reversed:
        def __call__(self, samples):
            return DataLoader(samples, batch_size=len(samples)).collate_fn(samples[::-1])

    labels = [0, 0, 1, 1]
    plain = content(BalancedMixUpLoader(Numbered(labels), labels, batch_size=4))
    turned = content(BalancedMixUpLoader(Numbered(labels), labels, batch_size=4, collate_fn=Reversed()))
    assert turned == [plain[0][::-1]]


def test_a_batch_moves_to_a_device_as_a_whole():
    labels = [0, 0, 0, 1]
    batch = next(iter(BalancedMixUpLoader(Numbered(labels), labels, batch_size=4)))
    moved = batch.to("meta")
    assert isinstance(moved, PairedBatch)
    assert {part.device.type for part in moved} == {"meta"}
    assert [part.shape for part in moved] == [part.shape for part in batch]


@pytest.mark.parametrize("device", DEVICES)
def test_mixing_happens_on_the_device_of_the_batch(device):
    labels = [0, 0, 0, 1]
    batch = next(iter(BalancedMixUpLoader(Numbered(labels), labels, batch_size=4, alpha=2.0)))
    for mixed, expected in zip(batch.to(torch.device(device)).mixed(2), batch.mixed(2), strict=True):
        assert mixed.device.type == device
        assert torch.allclose(mixed.cpu(), expected)


def test_bad_arguments_are_named():
    labels = [0, 0, 1]
    data = Numbered(labels)
    with pytest.raises(UsageError, match="Expected one label per sample, but got 2 labels for 3 samples"):
        BalancedMixUpLoader(data, [0, 1])
    with pytest.raises(UsageError, match="Expected `batch_size` to be at least 1, but got 0"):
        BalancedMixUpLoader(data, labels, batch_size=0)
    with pytest.raises(UsageError, match=r"Expected `rank` to be in 0\.\.1, but got 2"):
        BalancedMixUpLoader(data, labels, rank=2, world_size=2)
    with pytest.raises(UsageError, match="Expected at least one sample for each of 4 processes, but got 3"):
        next(iter(BalancedMixUpLoader(data, labels, rank=3, world_size=4)))
    with pytest.raises(UsageError, match="Expected `alpha` to be a number above 0, but got 0"):
        BalancedMixUpLoader(data, labels, alpha=0)
    with pytest.raises(UsageError, match="Expected `labels` to be a non-empty list of class numbers from 0"):
        BalancedMixUpLoader(data, [0, 1, -1])
    with pytest.raises(UsageError, match="Expected `n` to be at least 1, but got 0"):
        BalancedMixUpLoader([], [])
