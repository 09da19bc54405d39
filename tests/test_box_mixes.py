"""CutMix and CMO: the boxes by hand, targets by the pixels that were pasted, and the loader for foreign loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from balanced_mixup.errors import UsageError
from balanced_mixup.mixing import BalancedMixUpLoader, Cmo, CutMix, MixUp, Weights, paste
from balanced_mixup.mixing.boxes import box_pairing, mean_box_area
from balanced_mixup.randomness import generator

law = settings(max_examples=60, deadline=None)
LABELS = np.zeros(400, np.int64)


class Fixed:
    """A source of draws that are given: areas, then centres, then whether a box is pasted."""

    def __init__(self, areas, centres, pasted=()):
        self.areas, self.uniforms = np.array(areas), [np.array(centres), np.array(pasted)]

    def beta(self, a, b, size):
        return self.areas

    def random(self, size):
        return self.uniforms.pop(0)

    def permutation(self, n):
        return np.roll(np.arange(n), 1)


def test_cmo_by_hand():
    # Boxes of a quarter and of all of the area, one in the middle, one clipped at the top left corner; the third is not pasted.
    rng = Fixed([0.25, 0.25, 1.0], [[0.5, 0.5], [0.0, 0.125], [0.5, 0.5]], [0.4, 0.0, 0.6])
    paired = Cmo(1.0, 0.5, "sample").pair(LABELS[:6], 3, rng)
    assert paired.partner.tolist() == [3, 4, 2]
    assert paired.box.tolist() == [[0.25, 0.25, 0.75, 0.75], [0, 0, 0.25, 0.375], [0, 0, 0, 0]]
    assert paired.weight.tolist() == [0.25, 0.09375, 0]
    images, partners = torch.zeros(3, 1, 8, 8), torch.ones(3, 1, 8, 8)
    weights = Weights(*map(torch.from_numpy, paired[1:]))
    mixed, target_weight = Cmo().mix_images(images, partners, weights)
    expected = torch.zeros(3, 1, 8, 8)
    expected[0, :, 2:6, 2:6] = 1
    expected[1, :, 0:2, 0:3] = 1
    assert torch.equal(mixed, expected)
    # The label of the background has the rest.
    assert target_weight.tolist() == [16 / 64, 6 / 64, 0]


def test_cutmix_by_hand():
    # One box for the batch, 5 x 5 pixels: 0.25 of the side is 1.25 pixels, 0.75 is 3.75, to whole pixels 1 to 4.
    paired = CutMix(1.0, "batch").pair(LABELS[:2], 2, Fixed([0.25], [[0.5, 0.5]]))
    images = torch.arange(50.0).reshape(2, 1, 5, 5)
    weights = Weights(*map(torch.from_numpy, paired[1:]))
    mixed, target_weight = CutMix().mix_images(images, images[paired.partner], weights)
    expected = images.clone()
    expected[0, :, 1:4, 1:4], expected[1, :, 1:4, 1:4] = images[1, :, 1:4, 1:4], images[0, :, 1:4, 1:4]
    assert torch.equal(mixed, expected)
    assert target_weight.tolist() == pytest.approx([9 / 25] * 2)
    assert paired.weight.tolist() == [0.25, 0.25]


@law
@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=8),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_the_weight_of_the_target_is_the_share_of_pixels_of_the_partner(draws, height, width, dtype):
    area, centre = np.array([d[0] for d in draws]), np.array([d[1:] for d in draws])
    paired = box_pairing(len(draws) + np.arange(len(draws)), area, centre, len(draws))
    images, partners = (torch.full((len(draws), 3, height, width), value, dtype=dtype) for value in (0.0, 1.0))
    mixed, weight = paste(images, partners, torch.from_numpy(paired.box))
    assert mixed.dtype == dtype
    assert weight.tolist() == pytest.approx(mixed.float().mean((1, 2, 3)).tolist(), abs=1e-6)
    assert torch.equal(mixed[:, 0], mixed[:, 2])
    # Who is not mixed is its own partner, and is left as it is.
    unmixed = paired.weight == 0
    assert (paired.partner[unmixed] == np.flatnonzero(unmixed)).all()
    assert not mixed[torch.from_numpy(unmixed)].any()
    # A box is never larger than was drawn, but for half a pixel at each side.
    sides = np.sqrt(area)[:, None] * [height, width] + 1
    assert (weight.numpy() * height * width <= sides.prod(1) + 1e-3).all()


@pytest.mark.parametrize(("alpha", "mean"), [(1.0, 77 / 240), (0.3, None), (5.0, None)])
def test_the_mean_area_of_clipped_boxes(alpha, mean):
    # For areas uniform in 0..1 by hand: 2 (1/4 - 1/10 + 1/96).
    drawn = CutMix(alpha, "sample").pair(np.zeros(100_000, np.int64), 100_000, generator(0, "boxes")).weight.mean()
    assert mean_box_area(alpha) == pytest.approx(drawn, abs=0.004)
    assert mean is None or mean_box_area(alpha) == pytest.approx(mean, abs=1e-4)
    assert Cmo(alpha, 0.5).mean_partner_weight == mean_box_area(alpha) / 2


def test_one_box_a_batch_or_one_a_sample():
    for mixing in (CutMix, Cmo):
        per_batch, per_sample = (
            mixing(weight_per=per).pair(LABELS[:80], 40, generator(1, "boxes")).box for per in ("batch", "sample")
        )
        assert (per_batch == per_batch[0]).all()
        assert len(np.unique(per_sample, axis=0)) > 15
    pasted = Cmo(probability=0.3, weight_per="sample").pair(LABELS, 200, generator(0, "boxes")).weight > 0
    assert pasted.mean() == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_bad_probability_is_named(probability):
    with pytest.raises(UsageError, match=r"Expected `probability` to be in 0\.\.1, but got"):
        Cmo(probability=probability)


# ---- The loader ----


class Numbered(torch.utils.data.Dataset):
    """Image i is full of the number i; counts what is read."""

    def __init__(self, labels):
        self.labels, self.reads = labels, []

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        self.reads.append(row)
        return torch.full((1, 8, 8), float(row)), self.labels[row]


def test_the_loader_pastes_images_of_the_class_branch():
    labels = [0] * 60 + [1] * 4
    dataset = Numbered(labels)
    loader = BalancedMixUpLoader(dataset, labels, batch_size=16, mix=Cmo(1.0, 0.5, "sample"))
    pasted, rare = 0, 0
    for batch in loader.set_epoch(3):
        assert batch.weight.shape == (16, 4)
        images, targets = batch.mixed(2)
        for i, image in enumerate(images[:, 0]):
            own, partner = (part[i, 0, 0, 0] for part in (batch.images, batch.partner_images))
            share = (image != own).float().mean().item()
            expected = torch.zeros(2)
            expected[batch.labels[i]] += 1 - share
            expected[batch.partner_labels[i]] += share
            assert torch.allclose(targets[i], expected, atol=1e-6)
            assert ((image == own) | (image == partner)).all()
            pasted += share > 0
            rare += share > 0 and int(batch.partner_labels[i])
    assert 20 < pasted < 44
    assert rare > pasted / 4  # of 1 in 16 by plain sampling
    assert len(dataset.reads) <= 64 + 44


def test_two_ranks_paste_the_boxes_of_one_process():
    labels = [0] * 30 + [1] * 2

    def epoch(**ranks):
        loader = BalancedMixUpLoader(Numbered(labels), labels, batch_size=8 // ranks.get("world_size", 1), mix=Cmo(), **ranks)
        return [batch.mixed(2) for batch in loader]

    whole, parts = epoch(), [epoch(rank=rank, world_size=2) for rank in (0, 1)]
    for step, (images, targets) in enumerate(whole):
        for rank in (0, 1):
            assert torch.equal(parts[rank][step][0], images[rank::2])
            assert torch.equal(parts[rank][step][1], targets[rank::2])


def test_the_loader_refuses_a_mix_within_the_batch():
    with pytest.raises(UsageError, match="Expected `mix` to take its partners from a second branch, but MixUp mixes"):
        BalancedMixUpLoader(Numbered([0, 1]), [0, 1], mix=MixUp())
