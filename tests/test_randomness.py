"""Keyed randomness: equal keys equal, different keys apart, any position alone, uniform, and no global state."""

import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from balanced_mixup import randomness
from balanced_mixup.randomness import bits, generator, key_of, permuted, torch_seed, uniforms

law = settings(max_examples=60, deadline=None)
some_keys = st.lists(st.integers(-3, 3) | st.text("ab1", max_size=2), max_size=3).map(tuple)
some_positions = st.lists(st.integers(0, 2**62), max_size=20).map(lambda values: np.array(values, np.int64))


# ---- Keys ----


@law
@given(st.integers(0, 3), some_keys, st.integers(0, 3), some_keys)
def test_keys_are_equal_only_where_seed_and_parts_are(seed, key, other_seed, other_key):
    assert (key_of(seed, *key) == key_of(other_seed, *other_key)) == ((seed, key) == (other_seed, other_key))


def test_a_number_and_its_name_are_different_keys():
    assert key_of(0, 1) != key_of(0, "1")
    assert key_of(0, "a", "b") != key_of(0, "ab")
    assert key_of(0, 1, 2) != key_of(0, 12)


def test_an_integer_is_the_same_key_whatever_type_holds_it():
    assert key_of(np.int64(7), "epoch", np.uint8(3)) == key_of(7, "epoch", 3)


@pytest.mark.parametrize("part", [1.0, None])
def test_a_key_that_is_no_integer_and_no_name_is_refused(part):
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        key_of(0, part)


@law
@given(st.integers(0, 2**40), some_keys)
def test_generators_of_equal_keys_give_equal_streams_and_of_others_not(seed, key):
    draws = generator(seed, *key).random(8)
    assert (generator(seed, *key).random(8) == draws).all()
    assert not (generator(seed, *key, "other").random(8) == draws).any()
    assert not (generator(seed + 1, *key).random(8) == draws).any()


@law
@given(st.integers(0, 2**40), some_keys)
def test_torch_accepts_its_seeds(seed, key):
    value = torch_seed(seed, *key)
    assert 0 <= value < 2**63
    assert torch.Generator().manual_seed(value).initial_seed() == value
    assert torch_seed(seed, *key, "other") != value


def test_global_random_state_is_neither_read_nor_changed():
    def draw():
        return [
            generator(0, "a").random(3).tolist(),
            uniforms(np.arange(3), 0, "a").tolist(),
            permuted(np.arange(9), 9, 0, "a").tolist(),
            torch_seed(0, "a"),
        ]

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    first = draw()
    assert states() == before
    with torch.random.fork_rng():
        torch.manual_seed(1)
        assert draw() == first


# ---- Positions ----


@law
@given(some_positions, st.integers(0, 20), some_keys)
def test_positions_are_independent_of_how_they_are_cut(positions, cut, key):
    for draw in (bits, uniforms):
        pieces = np.concatenate([draw(positions[:cut], 5, *key), draw(positions[cut:], 5, *key)])
        assert (draw(positions, 5, *key) == pieces).all()


def test_shape_of_the_positions_is_kept():
    positions = np.arange(24).reshape(2, 3, 4)
    assert (uniforms(positions, 0, "x") == uniforms(positions.ravel(), 0, "x").reshape(2, 3, 4)).all()
    assert uniforms(positions[:0], 0, "x").shape == (0, 3, 4)


@law
@given(some_positions, st.integers(0, 2**62))
def test_uniforms_are_from_0_to_below_1(positions, seed):
    u = uniforms(positions, seed, "u")
    assert u.dtype == np.float64
    assert ((u >= 0) & (u < 1)).all()


def test_the_largest_bits_give_a_uniform_below_1_and_the_smallest_give_0(monkeypatch):
    ends = np.array([0, 2**64 - 1], np.uint64)
    monkeypatch.setattr(randomness, "bits", lambda positions, seed, *key: ends)
    assert uniforms(np.arange(2), 0).tolist() == [0.0, 1 - 2.0**-53]


@pytest.mark.parametrize("stride", [1, 2, 11, 4096, 2**40])
def test_uniforms_are_uniform_and_neighbours_independent(stride):
    u = uniforms(np.arange(60_000) * stride, 3, "uniform")
    cells = (u[:-1] * 10).astype(int) * 10 + (u[1:] * 10).astype(int)
    assert chisquare(np.bincount(cells[::2], minlength=100)).pvalue > 0.001
    assert chisquare(np.histogram(u, bins=100, range=(0, 1))[0]).pvalue > 0.001


def test_streams_of_different_keys_are_independent():
    positions = np.arange(40_000)
    streams = [uniforms(positions, *key) for key in ((0, "a", 0), (0, "a", 1), (0, "b", 0), (1, "a", 0))]
    correlation = np.corrcoef(streams)[np.triu_indices(4, 1)]
    assert (np.abs(correlation) < 4 / math.sqrt(len(positions))).all()


def test_every_bit_is_set_half_the_time():
    words = bits(np.arange(20_000), 0, "bits")
    share = ((words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).mean(0)
    assert (np.abs(share - 0.5) < 5 * 0.5 / math.sqrt(len(words))).all()


# ---- Permutations ----


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**31))
@example(1, 0)
@example(2, 0)
@example(3, 0)
def test_a_permutation_hits_everything_once(n, seed):
    assert np.sort(permuted(np.arange(n), n, seed, "p")).tolist() == list(range(n))


@pytest.mark.parametrize("n", [2**k + step for k in (1, 2, 3, 4, 5, 8, 9, 12, 15, 16) for step in (-1, 0, 1)])
def test_a_permutation_hits_everything_once_around_powers_of_two(n):
    assert (np.sort(permuted(np.arange(n), n, n, "p")) == np.arange(n)).all()


@law
@given(st.integers(1, 2**45), st.data())
def test_any_part_of_a_permutation_can_be_computed_alone(n, data):
    positions = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=30))))
    cut = data.draw(st.integers(0, len(positions)))
    whole = permuted(positions, n, 1, "part")
    assert whole.min() >= 0
    assert whole.max() < n
    assert len(set(whole.tolist())) == len(positions)
    pieces = [permuted(part, n, 1, "part") for part in (positions[:cut], positions[cut:])]
    assert (np.concatenate(pieces) == whole).all()


@pytest.mark.parametrize(("n", "seeds"), [(2, 400), (3, 1200), (4, 2400)])
def test_all_orders_of_few_are_equally_likely(n, seeds):
    orders = Counter(tuple(permuted(np.arange(n), n, seed, "orders").tolist()) for seed in range(seeds))
    assert len(orders) == math.factorial(n)
    assert chisquare(list(orders.values())).pvalue > 0.001


@pytest.mark.parametrize("n", [10, 16, 33])
def test_each_element_lands_everywhere_equally_often(n):
    ends = np.array([permuted(np.array([0, n - 1]), n, seed, "ends") for seed in range(60 * n)])
    for column in ends.T:
        assert chisquare(np.bincount(column, minlength=n)).pvalue > 0.001


def test_a_long_permutation_keeps_no_trace_of_the_order():
    n = 20_000
    order = permuted(np.arange(n), n, 0, "long")
    assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 4 / math.sqrt(n)
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 4 / math.sqrt(n)
    # The number of elements that stay in place is about Poisson(1).
    assert (order == np.arange(n)).sum() <= 6
    assert (np.diff(order) == 1).sum() <= 6


@law
@given(st.integers(20, 10**12), some_keys)
def test_permutations_of_different_keys_differ(n, key):
    positions = np.arange(20)
    assert (permuted(positions, n, 0, *key) != permuted(positions, n, 0, *key, "other")).any()
    assert (permuted(positions, n, 0, *key) != permuted(positions, n, 1, *key)).any()
