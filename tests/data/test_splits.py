"""Splits: complete, never through a group, stratified to less than one image, the same for a seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balanced_mixup.data.images import ArrayImages
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.splits import complete_split, make_split, merge_groups
from balanced_mixup.errors import UsageError

some_labels = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(lambda labels: np.array(labels, np.int64))
some_fractions = st.sampled_from(
    [
        {"train": 0.8, "val": 0.2},
        {"train": 0.6, "val": 0.2, "test": 0.2},
        {"train": 0.3, "val": 0.35, "test": 0.35},
        {str(fold): 0.2 for fold in range(5)},
    ]
)


def manifest_of(labels, groups=None, split=None):
    labels = np.asarray(labels, np.int64)
    images = ArrayImages([f"image {i}" for i in range(len(labels))], np.zeros((len(labels), 1, 1), np.uint8))
    classes = tuple(str(k) for k in range(labels.max() + 1))
    return Manifest(
        images,
        labels,
        classes,
        groups=None if groups is None else np.array(groups, str),
        split=None if split is None else np.array(split, str),
    )


class TestMakeSplit:
    @given(some_labels, some_fractions, st.integers(0, 3))
    def test_without_groups_every_class_gets_its_shares_to_less_than_one_image(self, labels, fractions, seed):
        split = make_split(labels, None, fractions, seed)
        assert set(split.tolist()) <= set(fractions)
        for label, n in Counter(labels.tolist()).items():
            for side, share in fractions.items():
                assert abs(((split == side) & (labels == label)).sum() - share * n) < 1

    @given(some_labels, some_fractions, st.data())
    def test_no_group_on_two_sides_and_no_class_untrained(self, labels, fractions, data):
        groups = np.array(data.draw(st.lists(st.integers(0, 12), min_size=len(labels), max_size=len(labels)))).astype(str)
        split = make_split(labels, groups, fractions, 0)
        assert len(split) == len(labels)
        for group in set(groups.tolist()):
            assert len(set(split[groups == group].tolist())) == 1
        if "train" in fractions:
            assert set(labels[split == "train"].tolist()) == set(labels.tolist())

    @given(some_labels, some_fractions, st.integers(0, 3))
    @settings(max_examples=20)
    def test_a_function_of_its_arguments(self, labels, fractions, seed):
        np.testing.assert_array_equal(make_split(labels, None, fractions, seed), make_split(labels, None, fractions, seed))

    def test_another_seed_is_another_split(self):
        labels = np.zeros(100, np.int64)
        fractions = {"train": 0.5, "val": 0.5}
        assert (make_split(labels, None, fractions, 0) != make_split(labels, None, fractions, 1)).any()

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_tiny_classes(self, n):
        labels = np.array([0] * 50 + [1] * n)
        split = make_split(labels, None, {"train": 0.6, "val": 0.2, "test": 0.2}, 0)
        assert "train" in split[labels == 1]

    def test_groups_of_many_classes_are_shared_out_well(self):
        rng = np.random.default_rng(0)
        groups = rng.integers(0, 400, 6000)
        labels = rng.choice(4, 6000, p=[0.7, 0.2, 0.08, 0.02])
        split = make_split(labels, groups, {"train": 0.6, "val": 0.2, "test": 0.2}, 0)
        for label in range(4):
            share = np.mean(split[labels == label] == "val")
            assert 0.15 < share < 0.25

    def test_eyepacs_by_patient(self, published_labels):
        rows = [line.split(",") for line in (published_labels / "eyepacs_trainLabels.csv").read_text().split()[1:]]
        labels = np.array([int(level) for _, level in rows])
        patients = np.array([name.split("_")[0] for name, _ in rows])
        alone = make_split(labels, None, {"train": 0.6, "val": 0.2, "test": 0.2}, 0)
        split = make_split(labels, patients, {"train": 0.6, "val": 0.2, "test": 0.2}, 0)
        assert Counter(alone[labels == 4].tolist()) == {"train": 425, "val": 142, "test": 141}
        assert not set(patients[split == "train"]) & set(patients[split != "train"])
        np.testing.assert_allclose(np.bincount(labels[split == "test"]), 0.2 * np.bincount(labels), atol=2)


class TestCompleteSplit:
    def test_no_split_makes_both(self):
        manifest = complete_split(manifest_of([0, 1] * 50), 0.2, 0.1, seed=0)
        assert Counter(manifest.split.tolist()) == {"train": 70, "val": 20, "test": 10}

    def test_no_test_fraction_makes_no_test(self):
        assert Counter(complete_split(manifest_of([0, 1] * 50), 0.2, 0, seed=0).split.tolist()) == {"train": 80, "val": 20}

    def test_a_training_part_alone_is_no_split(self):
        manifest = manifest_of([0, 1] * 50, split=["train"] * 100)
        assert Counter(complete_split(manifest, 0.2, 0.1, seed=0).split.tolist()) == {"train": 70, "val": 20, "test": 10}

    def test_a_full_split_is_kept(self):
        manifest = manifest_of([0, 1] * 3, split=["train", "train", "val", "val", "test", "test"])
        assert complete_split(manifest, 0, 0.3, seed=0) is manifest

    def test_validation_comes_out_of_the_given_training_part(self):
        given = ["test"] * 20 + ["train"] * 80
        split = complete_split(manifest_of([0, 1] * 50, split=given), 0.25, 0.5, seed=0).split
        assert set(split[:20].tolist()) == {"test"}
        assert Counter(split[20:].tolist()) == {"train": 60, "val": 20}

    def test_no_test_is_made_beside_a_given_validation_part(self):
        manifest = manifest_of([0, 1] * 2, split=["train", "train", "val", "val"])
        assert complete_split(manifest, 0.2, 0.2, seed=0) is manifest

    def test_groups_and_identical_images_stay_together(self):
        groups = [f"p{i // 2}" for i in range(100)]
        same = [f"d{i}" for i in range(100)]
        same[1] = same[2]  # joins the patients 0 and 1
        same[3] = same[99]  # and these to patient 49
        for seed in range(10):
            split = complete_split(manifest_of([0, 1] * 50, groups), 0.3, 0.3, seed, same).split
            assert len({split[i] for i in (0, 1, 2, 3, 98, 99)}) == 1
            assert all(split[i] == split[i + 1] for i in range(0, 100, 2))

    @pytest.mark.parametrize(
        ("val", "test", "message"),
        [
            (0, 0.2, "Expected --val-fraction above 0, as the best epoch is chosen on validation data, but got 0"),
            (-0.1, 0.2, r"Expected --val-fraction to be from 0 to 0\.9, but got -0\.1"),
            (0.2, 1.5, r"Expected --test-fraction to be from 0 to 0\.9, but got 1\.5"),
            (float("nan"), 0, r"Expected --val-fraction to be from 0 to 0\.9, but got nan"),
            (0.5, 0.4, r"leave more than a tenth for training, but got 0\.5 and 0\.4"),
        ],
    )
    def test_fractions_that_cannot_be_had(self, val, test, message):
        with pytest.raises(UsageError, match=message):
            complete_split(manifest_of([0, 1]), val, test, seed=0)


class TestUnite:
    def test_chains(self):
        united = merge_groups(6, ["a", "a", "b", "b", "c", "d"], np.array(["1", "2", "2", "3", "4", "5"]))
        assert len(set(united[:4].tolist())) == 1
        assert len(set(united.tolist())) == 3

    def test_an_empty_key_joins_nothing(self):
        assert len(set(merge_groups(3, ["", "", "x"]).tolist())) == 3

    def test_no_keys(self):
        assert merge_groups(3, None, None) is None

    @given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("1234")), min_size=1, max_size=12))
    def test_equal_keys_are_together(self, pairs):
        first, second = zip(*pairs, strict=True)
        united = merge_groups(len(pairs), first, second)
        for key in (first, second):
            for i in range(len(pairs)):
                for j in range(i):
                    assert key[i] != key[j] or united[i] == united[j]
