"""Stratification: groups whole, every class and the sizes in their shares at least as evenly as scikit-learn's folds."""

import csv
import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import StratifiedGroupKFold

from balanced_mixup.data.folds import k_folds, sample
from balanced_mixup.data.splits import make_split, merge_groups

THREE = {"train": 0.7, "val": 0.1, "test": 0.2}
some_groups = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=60)


def counts_of(labels, parts):
    """Return the images of each class in each part, (P, K)."""
    return np.array([[np.sum((parts == part) & (labels == label)) for label in np.unique(labels)] for part in np.unique(parts)])


def unevenness(labels, folds, k=5):
    """Return the mean and the largest relative deviation of the classes' shares, and the largest of the folds' sizes."""
    counts = counts_of(labels, folds)
    assert len(counts) == k
    deviations, sizes = np.abs(k * counts / counts.sum(0) - 1), k * counts.sum(1) / len(labels)
    return np.array([deviations.mean(), deviations.max(), np.abs(sizes - 1).max()])


def folds_of_sklearn(labels, groups, seed):
    folds = np.empty(len(labels), np.int64)
    for fold, (_, test) in enumerate(StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)):
        folds[test] = fold
    return folds


def seven_per_cent(count=200, seed=0):
    """Return labels and groups of very different sizes, each with its own prevalence of a class of about 7 %."""
    random = np.random.default_rng(seed)
    sizes = np.maximum(random.lognormal(3, 1.2, count), 1).astype(int)
    groups = np.repeat(np.arange(count), sizes)
    return (random.random(len(groups)) < random.beta(0.21, 2.79, count)[groups]).astype(np.int64), groups


def table(path, label, group):
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = np.unique([row[label] for row in rows], return_inverse=True)[1]
    return labels, np.unique([row[group] for row in rows], return_inverse=True)[1]


class TestEvenness:
    def test_groups_of_all_sizes_and_a_class_of_seven_per_cent(self):
        labels, groups = seven_per_cent()
        ours = np.mean([unevenness(labels, k_folds(labels, groups, 5, seed)) for seed in range(3)], 0)
        theirs = np.mean([unevenness(labels, folds_of_sklearn(labels, groups, seed)) for seed in range(3)], 0)
        before = unevenness(labels, k_folds(labels, groups, 5, 0, version=1))
        assert (ours < theirs).all()
        assert ours[0] < 0.005 and ours[2] < 0.002
        assert (before > 5 * ours).all()

    def test_few_large_groups(self):
        """Thirty patients, five folds: in the mean over data sets no less even than scikit-learn's, in sizes more so."""
        figures = []
        for seed in range(6):
            random = np.random.default_rng(seed)
            weights = random.lognormal(0, 0.7, 30)
            groups = random.choice(30, 2000, p=weights / weights.sum())
            labels = (random.random((2000, 1)) > random.dirichlet((6, 3, 1), 30).cumsum(1)[groups]).sum(1).clip(max=2)
            ours = np.mean([unevenness(labels, k_folds(labels, groups, 5, repeat)) for repeat in range(3)], 0)
            figures.append((ours, unevenness(labels, folds_of_sklearn(labels, groups, 0))))
        ours, theirs = np.mean(figures, 0)
        assert (ours < (1.05, 1.05, 0.9) * theirs).all()

    def test_cells_by_smear(self, test_data):
        labels, groups = table(test_data("chula-rbc12-64", "labels.csv"), "class", "smear")
        ours = np.mean([unevenness(labels, k_folds(labels, groups, 5, seed)) for seed in range(3)], 0)
        theirs = np.mean([unevenness(labels, folds_of_sklearn(labels, groups, seed)) for seed in range(3)], 0)
        assert (ours[:2] < 0.75 * theirs[:2]).all() and ours[2] <= theirs[2]
        for seed in range(3):
            counts = counts_of(labels, make_split(labels, groups, THREE, seed))  # in the order test, train, val
            np.testing.assert_allclose(counts.sum(1) / len(labels), (0.2, 0.7, 0.1), rtol=0.02)
            np.testing.assert_allclose(counts / counts.sum(0), np.repeat([[0.2], [0.7], [0.1]], 13, 1), rtol=0.2)

    def test_fundi_by_patient(self, test_data):
        labels, groups = table(test_data("eyepacs-160", "labels.csv"), "level", "patient")
        ours = unevenness(labels, k_folds(labels, groups, 5, 0))
        assert (ours <= unevenness(labels, folds_of_sklearn(labels, groups, 0)) + 1e-9).all()

    def test_skin_by_lesion(self, published_labels):
        labels, groups = table(published_labels / "HAM10000_metadata.csv", "dx", "lesion_id")
        assert (np.ptp(counts_of(labels, k_folds(labels, groups, 5, 0)), axis=0) <= 1).all()

    def test_a_million_rows_in_groups_of_a_thousand(self):
        random = np.random.default_rng(0)
        labels = random.choice(5, 10**6, p=(0.6, 0.3, 0.07, 0.02, 0.01))
        groups = random.permutation(10**6) // 1000
        split = make_split(labels, groups, THREE, 0)
        images = {name: np.bincount(labels[split == name], minlength=5) for name in THREE}
        for name, share in THREE.items():
            np.testing.assert_allclose(images[name] / np.bincount(labels), share, rtol=0.02)
            assert images[name].sum() / 10**6 == pytest.approx(share, rel=0.01)

    def test_many_groups_of_equal_content_are_shared_out_exactly(self):
        groups = np.arange(300_000) // 3
        labels = groups % 4
        split = make_split(labels, groups, THREE, 0)
        assert [Counter(labels[split == "val"].tolist())[label] for label in range(4)] == [7500] * 4

    def test_a_sample(self):
        labels, groups = seven_per_cent()
        rows = sample(labels, groups, 1000, 0)
        assert len(rows) == pytest.approx(1000, rel=0.05)
        assert labels[rows].mean() == pytest.approx(labels.mean(), rel=0.05)


class TestRandomness:
    def test_other_seeds_are_other_folds_though_all_groups_differ(self):
        """Repeats of a cross-validation are to differ; scikit-learn's are the same here."""
        random = np.random.default_rng(0)
        groups = np.repeat(np.arange(40), 20 + np.arange(40))
        labels = random.choice(3, len(groups), p=(0.7, 0.2, 0.1))
        first = np.unique(groups, return_index=True)[1]
        folds = [k_folds(labels, groups, 5, seed)[first] for seed in range(5)]
        alike = [adjusted_rand_score(one, other) for one, other in itertools.combinations(folds, 2)]
        assert abs(np.mean(alike)) < 0.1

    @given(some_groups, st.integers(0, 3))
    def test_neither_the_names_of_groups_nor_their_absence_matter(self, rows, seed):
        groups, labels = np.array(rows).T
        named = np.array([f"patient {group}" for group in groups.tolist()])
        np.testing.assert_array_equal(make_split(labels, groups, THREE, seed), make_split(labels, named, THREE, seed))
        alone = merge_groups(len(labels), [""] * len(labels))
        np.testing.assert_array_equal(make_split(labels, alone, THREE, seed), make_split(labels, None, THREE, seed))


class TestRareClasses:
    @pytest.mark.parametrize("size", [1, 4])
    @pytest.mark.parametrize(
        ("count", "where"), [(1, {"train"}), (2, {"train", "test"}), (3, set(THREE)), (4, set(THREE)), (7, set(THREE))]
    )
    def test_a_class_of_two_is_tested_and_one_of_three_is_everywhere(self, count, where, size):
        for seed in range(5):
            labels = np.repeat([0, 1], [100 * size, count * size])
            split = make_split(labels, np.arange(len(labels)) // size, THREE, seed)
            assert set(split[labels == 1].tolist()) == where

    def test_also_where_its_groups_have_other_classes(self):
        random = np.random.default_rng(0)
        for seed in range(20):
            groups = np.arange(400) // 10
            labels = random.choice(2, 400)
            for label, chosen in ((2, 1), (3, 2), (4, 3), (5, 5)):
                labels[10 * random.choice(40, chosen, replace=False) + label] = label
            split = make_split(labels, groups, THREE, seed)
            found = [set(split[labels == label].tolist()) for label in range(6)]
            assert found == [set(THREE)] * 2 + [{"train"}, {"train", "test"}] + [set(THREE)] * 2

    def test_as_many_as_can_be_had_by_trying_all_splits(self):
        """Most classes in training, then in test, then in validation, for three to six groups of up to four classes."""
        random = np.random.default_rng(0)
        order = ("train", "test", "val")
        best = []
        for _ in range(40):
            table = (random.random((random.integers(3, 7), random.integers(2, 5))) < 0.4) * random.integers(1, 4)
            groups, labels = np.repeat(np.argwhere(table), table[table > 0], axis=0).T
            inside = table[np.unique(groups)] > 0
            splits = (np.array(split) for split in itertools.product(range(3), repeat=len(inside)))
            possible = max(tuple(int(inside[split == part].any(0).sum()) for part in range(3)) for split in splits)
            split = make_split(labels, groups, THREE, 0)
            reached = tuple(len(set(labels[split == part].tolist())) for part in order)
            assert reached[0] == possible[0]
            best.append(reached == possible)
        assert np.mean(best) > 0.9

    def test_a_class_of_few_groups_is_in_as_many_folds(self):
        labels = np.repeat([0, 1, 2], [200, 3, 1])
        for seed in range(5):
            assert len(set(k_folds(labels, None, 5, seed)[labels == 1].tolist())) == 3
        many = np.concatenate([np.zeros(100, np.int64), np.arange(1, 11)])  # ten classes of one image
        assert Counter(k_folds(many, None, 5, 0)[100:].tolist()) == dict.fromkeys(range(5), 2)

    def test_a_sample_need_not_leave_any_behind(self):
        labels = np.repeat([0, 1], [198, 2])
        assert (labels[sample(labels, None, 190, 0)] == 1).sum() == 2

    def test_hundreds_of_rare_classes_do_not_take_the_images_from_training(self):
        random = np.random.default_rng(0)
        shares = np.arange(1, 401) ** -1.5
        labels, groups = random.choice(400, 40_000, p=shares / shares.sum()), np.arange(40_000) // 200
        split = make_split(labels, groups, THREE, 0)
        assert set(labels[split == "train"].tolist()) == set(labels.tolist())
        for name, share in THREE.items():
            assert np.mean(split == name) == pytest.approx(share, abs=0.05)


class TestVersions:
    def test_version_1_is_bit_for_bit_what_it_was(self):
        random = np.random.default_rng(0)
        labels, groups = random.choice(4, 500, p=(0.6, 0.3, 0.07, 0.03)), random.integers(0, 60, 500)
        found = [
            hashlib.sha256(" ".join(make_split(labels, keys, fractions, 3, version=1).tolist()).encode()).hexdigest()[:16]
            for fractions in (THREE, {str(fold): 0.2 for fold in range(5)})
            for keys in (None, groups)
        ]
        assert found == ["a324e632f6b4f1bb", "1a12e18406e60137", "983e21160cf9c9a1", "150b351a63bf2876"]

    def test_version_2_is_for_ever(self):
        """If this changes, everybody's folds do: add a version instead."""
        labels, groups = seven_per_cent()
        found = [
            hashlib.sha256(" ".join(make_split(labels, keys, fractions, 3, version=2).tolist()).encode()).hexdigest()[:16]
            for fractions in (THREE, {str(fold): 0.2 for fold in range(5)})
            for keys in (None, groups)
        ]
        assert found == ["8c98f9955b0950e9", "7915365df00a32f7", "5f9807c62f2a5f30", "4ca2dc0c1e1b6300"]
