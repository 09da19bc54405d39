"""Folds and split files: every image tested once, classes in their shares, groups whole, nothing dropped without a word."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from balanced_mixup.data.folds import check_published, k_folds, sample, with_split_file, write_split
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import DataError, UsageError


class TestKFolds:
    @given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(2, 6), st.integers(0, 9))
    def test_every_class_is_spread_to_less_than_one_image(self, counts, k, seed):
        labels = np.repeat(np.arange(len(counts)), counts)
        if len(labels) < k:
            return
        folds = k_folds(labels, None, k, seed)
        for label, count in enumerate(counts):
            inside = np.bincount(folds[labels == label], minlength=k)
            assert inside.sum() == count
            assert inside.max() - inside.min() <= 1

    def test_the_counts_are_those_of_scikit_learn(self):
        # HyperKvasir's shape: classes from 1,148 images down to 6.
        labels = np.repeat(np.arange(6), (1148, 764, 131, 35, 9, 6))
        ours = k_folds(labels, None, 5, 0)
        reference = StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels)
        sizes = sorted(len(test) for _, test in reference)
        assert sorted(np.bincount(ours).tolist()) == sizes

    @given(st.integers(0, 5))
    @settings(max_examples=6)
    def test_groups_stay_whole_and_folds_are_alike(self, seed):
        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 150, 600).astype(str)
        labels = rng.choice(3, 600, p=(0.8, 0.15, 0.05))
        folds = k_folds(labels, groups, 5, seed)
        assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
        assert np.ptp(np.bincount(folds)) <= 12
        for label in range(3):
            inside = np.bincount(folds[labels == label], minlength=5)
            assert np.ptp(inside) <= 8

    def test_is_a_function_of_the_seed(self):
        labels = np.repeat([0, 1], 50)
        assert (k_folds(labels, None, 5, 1) == k_folds(labels, None, 5, 1)).all()
        assert (k_folds(labels, None, 5, 1) != k_folds(labels, None, 5, 2)).any()

    @pytest.mark.parametrize("k", [1, 4])
    def test_refuses_more_folds_than_groups(self, k):
        with pytest.raises(UsageError, match=f"Expected `folds` to be from 2 to the number of images .* 3, but got {k}"):
            k_folds(np.zeros(6, np.int64), np.array(list("aabbcc")), k, 0)


class TestPublishedFolds:
    names = ("a", "b", "c", "d")

    def test_whole_groups_pass(self):
        check_published("skin", np.array([0, 0, 1, 1]), np.array([5, 5, 7, 9]), self.names)
        check_published("skin", np.array([0, 1, 0, 1]), None, self.names)

    def test_divided_groups_are_counted_and_an_example_is_named(self):
        with pytest.raises(UsageError, match=r"the data 'skin' .* but 2 of them are in several folds, such as 'b' and 'c'\."):
            check_published("skin", np.array([0, 0, 1, 1]), np.array([5, 7, 7, 5]), ("a", "b", "c", "d"))

    def test_one_fold_alone(self):
        with pytest.raises(UsageError, match="two or more published folds of the data 'skin', but all images are in one"):
            check_published("skin", np.array([3, 3]), None, self.names[:2])


def test_a_sample_keeps_the_shares_and_the_groups():
    labels = np.repeat([0, 1, 2], (600, 200, 20))
    groups = np.arange(820) // 2
    rows = sample(labels, groups, 410, seed=0)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(labels[rows]).tolist() == [300, 100, 10]
    assert set(Counter(groups[rows]).values()) == {2}
    assert sample(labels, None, 9999, 0).tolist() == list(range(820))


class TestSplitFile:
    @pytest.fixture
    def manifest(self, blobs):
        return load(DataSettings(data=str(blobs / "labels.csv"), group_column="patient"))

    def write(self, folder, lines):
        path = folder / "fold.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    def test_what_was_written_is_read_back(self, manifest, tmp_path):
        split = np.array(["train", "val", "test"] * 30)
        write_split(tmp_path / "fold.csv", manifest.images.names, split)
        assert (with_split_file(manifest, tmp_path / "fold.csv").split == split).all()

    def test_unused_images_are_left_out_and_no_others(self, manifest, tmp_path):
        split = np.array(["train", "val", "unused"] * 30)
        write_split(tmp_path / "fold.csv", manifest.images.names, split)
        divided = with_split_file(manifest, tmp_path / "fold.csv")
        assert list(divided.images.names) == [
            name for name, part in zip(manifest.images.names, split, strict=True) if part != "unused"
        ]
        assert (divided.labels == manifest.labels[split != "unused"]).all()
        assert set(divided.split) == {"train", "val"}

    def test_an_image_without_a_part_is_a_problem_of_its_row(self, manifest, tmp_path):
        names = manifest.images.names
        write_split(tmp_path / "fold.csv", names[:-1], np.full(89, "train"))
        (problem,) = with_split_file(manifest, tmp_path / "fold.csv").problems
        assert (problem.rows, problem.fatal) == ((89,), True)
        assert "089.png is not in fold.csv" in problem.message

    @pytest.mark.parametrize(
        "lines, message",
        [
            (["image,part", "000.png,train"], "fold.csv: expected the columns image and split, got image, part"),
            (["image,split", "000.png,train", "zzz.png,val"], "fold.csv line 3: the data have no image 'zzz.png'"),
            (["image,split", "000.png,holdout"], "fold.csv line 2: expected train, val, test or unused, got 'holdout'"),
            (["image,split", "000.png,val", "000.png,train"], "fold.csv line 3: '000.png' again"),
        ],
    )
    def test_bad_tables(self, manifest, tmp_path, lines, message):
        with pytest.raises(DataError, match=message):
            with_split_file(manifest, self.write(tmp_path, lines))

    def test_a_leak_is_forgiven_only_in_the_published_test_part(self, manifest, tmp_path):
        published = replace(manifest, split=np.array(["train", "test"] * 45), published_split=True)
        write_split(
            tmp_path / "same.csv", manifest.images.names, np.array(["train", "test", "val", "test", "train", "test"] * 15)
        )
        write_split(tmp_path / "other.csv", manifest.images.names, np.array(["test", "train"] * 45))
        assert with_split_file(published, tmp_path / "same.csv").published_split
        assert not with_split_file(published, tmp_path / "other.csv").published_split


def test_settings_of_a_source(blobs, tmp_path):
    manifest = load(DataSettings(data=str(blobs / "labels.csv"), group_column="patient"))
    write_split(tmp_path / "fold.csv", manifest.images.names, np.full(90, "train"))
    divided = load(DataSettings(data=str(blobs / "labels.csv"), group_column="patient", split_file=tmp_path / "fold.csv"))
    assert set(divided.split) == {"train"}
    assert divided.groups is not None
    assert load(DataSettings(data=str(blobs / "labels.csv"), group_column="patient", ignore_groups=True)).groups is None
