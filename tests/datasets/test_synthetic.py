"""The drawn fundus photographs: the promised statistics hold, and every pixel is a function of its key alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.datasets import synthetic
from balanced_mixup.datasets.synthetic import class_counts, grades_of_eyes, photograph, synthetic_fundus
from balanced_mixup.errors import UsageError


@pytest.fixture(scope="module")
def fundus() -> Manifest:
    return synthetic_fundus(n=101, size=64, seed=3)


def pixels_of(manifest: Manifest) -> npt.NDArray[np.uint8]:
    return np.stack([manifest.images.read(i) for i in range(len(manifest))])


def test_manifest(fundus: Manifest) -> None:
    assert fundus.classes == ("0", "1", "2", "3", "4")
    assert fundus.ordinal
    assert fundus.split is None
    assert fundus.labels.dtype == np.int64
    assert fundus.counts().tolist() == class_counts(101).tolist()
    assert fundus.images.names[:3] == ["p0001_left", "p0001_right", "p0002_left"]
    assert len(set(fundus.images.names)) == 101


def test_two_eyes_a_patient_and_one_for_the_last_of_an_odd_number(fundus: Manifest) -> None:
    assert fundus.groups is not None
    patients, eyes = np.unique(fundus.groups, return_counts=True)
    assert patients[-1] == "p0051"
    assert eyes.tolist() == [2] * 50 + [1]


def test_shares_are_those_of_eyepacs_to_rounding() -> None:
    assert class_counts(3000).tolist() == [2205, 210, 450, 75, 60]


@given(st.integers(20, 200_000))
def test_shares_add_up_and_leave_no_class_out(n: int) -> None:
    counts = class_counts(n)
    assert counts.sum() == n
    assert counts.min() >= (2 if n >= 100 else 1)
    assert counts[0] == counts.max()
    if n >= 100:
        assert np.abs(counts - n * synthetic.SHARES).max() < 1


@given(st.integers(20, 500), st.integers(0, 2**32))
def test_grades_have_the_exact_counts_for_any_seed(n: int, seed: int) -> None:
    assert np.bincount(grades_of_eyes(n, seed), minlength=5).tolist() == class_counts(n).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_fellow_eyes_mostly_share_a_grade_or_are_neighbours(seed: int) -> None:
    left, right = grades_of_eyes(3000, seed).reshape(-1, 2).T
    apart = np.abs(left - right)
    assert 0.85 < np.mean(apart == 0) < 0.9
    assert np.mean(apart[apart > 0] == 1) > 0.7


@pytest.mark.parametrize("size", [32, 64, 200])
def test_photographs_are_round_fields_on_black(size: int) -> None:
    pixels = pixels_of(synthetic_fundus(n=20, size=size))
    assert pixels.shape == (20, size, size, 3)
    assert pixels.dtype == np.uint8
    assert not pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()
    red, green, blue = pixels[:, size // 4 : -size // 4, size // 4 : -size // 4].reshape(20, -1, 3).mean(1).T
    assert (red > green).all()
    assert (green > blue).all()
    assert (red > 80).all()


def test_equal_seeds_give_equal_pixels_and_others_do_not() -> None:
    one, same, other = (synthetic_fundus(n=24, size=48, seed=seed) for seed in (3, 3, 4))
    assert (same.labels == one.labels).all()
    assert (pixels_of(same) == pixels_of(one)).all()
    assert (other.labels != one.labels).any()
    assert (pixels_of(other) != pixels_of(one)).any(axis=(1, 2, 3)).all()


def test_pixels_do_not_depend_on_global_random_state_or_threads() -> None:
    def draw(patient: int) -> npt.NDArray[np.uint8]:
        return photograph(0, f"p{patient}", "left", 4, 64)

    alone = [draw(patient) for patient in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, reversed(range(8))))
    assert (np.stack(alone) == np.stack(together[::-1])).all()


def test_a_photograph_is_a_function_of_seed_patient_eye_grade_and_size(fundus: Manifest) -> None:
    for i, name in enumerate(fundus.images.names[-5:], start=96):
        patient, eye = name.split("_")
        assert (fundus.images.read(i) == photograph(3, patient, eye, int(fundus.labels[i]), 64)).all()


def test_no_two_photographs_are_equal(fundus: Manifest) -> None:
    assert len({fundus.images.digest(i) for i in range(101)}) == 101


def test_a_patient_looks_alike_at_every_size() -> None:
    large, small = (photograph(0, "p0005", "right", 2, size).astype(float) for size in (192, 64))
    shrunk = large.reshape(64, 3, 64, 3, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 6


@pytest.mark.parametrize("size", [64, 96])
def test_lesion_load_grows_with_the_grade(size: int) -> None:
    """Measured as what changes in an eye when nothing but its grade does."""
    load = np.zeros(5)
    for patient in range(15):
        healthy, *ill = (photograph(0, f"p{patient}", "right", grade, size).astype(float) for grade in range(5))
        load[1:] += [np.mean(np.abs(image - healthy).max(axis=2) > 25) for image in ill]
    assert load[1] > 0
    assert load[2] > 1.5 * load[1]
    assert min(load[3], load[4]) > 2 * load[2]


def test_the_disc_is_nasal() -> None:
    """On the right in a right eye, on the left in a left eye: the brightest part of their mean picture."""
    for eye, column in (("left", 13), ("right", 50)):
        mean = np.mean([photograph(1, f"p{patient}", eye, 0, 64)[..., 1] for patient in range(20)], axis=0)
        assert abs(np.unravel_index(mean.argmax(), mean.shape)[1] - column) < 6


def test_both_eyes_share_camera_and_pigment() -> None:
    """The mean colours of fellow eyes are closer than those of strangers."""
    colour = np.array(
        [[photograph(0, f"p{patient}", eye, 0, 48).mean((0, 1)) for eye in ("left", "right")] for patient in range(20)]
    )
    fellows = np.abs(colour[:, 0] - colour[:, 1]).mean()
    strangers = np.abs(colour[1:, 0] - colour[:-1, 1]).mean()
    assert fellows < 0.3 * strangers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 3}, "^Expected `n` to be at least 20, but got 3.$"),
        ({"size": 16}, "^Expected `size` to be from 32 to 1024, but got 16.$"),
        ({"size": 2048}, "^Expected `size` to be from 32 to 1024, but got 2048.$"),
    ],
)
def test_bad_arguments(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        synthetic_fundus(**arguments)
