"""Near copies are found in every pose and encoding, other images are not taken for copies, and copies stay together."""

import importlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from balanced_mixup.data import copies as copies_module
from balanced_mixup.data.copies import Copies
from balanced_mixup.data.inspection import exclude, inspect
from balanced_mixup.data.near_copies import near_copies
from balanced_mixup.data.pose_search import POSED, pose, similar_pairs
from balanced_mixup.data.preparation import Cache, prepare
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.thumbnails import thumbnail
from balanced_mixup.datasets.synthetic import synthetic_fundus
from balanced_mixup.training.recipe import FORMAT, make_recipe


def picture(seed, side=64):
    spots = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize((side, side), Image.Resampling.BICUBIC)


def thumbnails(images):
    return np.stack([thumbnail(np.asarray(image)) for image in images])


@pytest.fixture
def benchmark(monkeypatch, pytestconfig):
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "benchmarks")
    return importlib.import_module("near_copies")


class TestSearch:
    def test_every_kind_is_found_and_nothing_else(self, benchmark):
        images = [picture(seed) for seed in range(12)]
        for kind, make in benchmark.KINDS.items():
            if kind not in ("cropped by 3 % a side", "cropped by 5 % a side"):
                found = near_copies(thumbnails(images + [make(image) for image in images]))
                assert found.tolist() == [[k, k + 12] for k in range(12)], kind

    @pytest.mark.parametrize("number", range(8))
    def test_every_pose(self, number):
        images = thumbnails([picture(0), picture(1)])
        turned = np.moveaxis(pose(np.moveaxis(images, 3, 1), number), 1, 3)
        assert near_copies(np.concatenate([images, turned])).tolist() == [[0, 2], [1, 3]]

    def test_a_negative_and_images_of_one_colour_are_no_copies(self):
        flat = np.full((3, 32, 32, 3), [[[[9]]], [[[9]]], [[[200]]]], np.uint8)
        image = thumbnails([picture(0)])
        assert near_copies(np.concatenate([flat, image, 255 - image])).tolist() == []
        assert near_copies(flat[:0]).tolist() == []

    def test_of_many_copies_only_those_that_connect_them_are_returned(self):
        pairs = near_copies(thumbnails([picture(0)] * 3000 + [picture(1)]))
        assert len(pairs) < 6000
        assert {row for pair in pairs.tolist() for row in pair} == set(range(3000))

    def test_candidates_that_are_none(self, monkeypatch):
        """Pairs that the search leaves may correlate in no pose, or fit in none."""
        pair = thumbnails([picture(0), picture(1)])
        monkeypatch.setattr("balanced_mixup.data.near_copies.similar_pairs", lambda *_: iter([np.array([[0, 1]])]))
        assert near_copies(pair).tolist() == []
        monkeypatch.setattr("balanced_mixup.data.near_copies._COARSE", -1.0)
        assert near_copies(pair).tolist() == []

    def test_known_images_are_not_compared_with_each_other(self):
        images = thumbnails([picture(0), picture(0), picture(1), ImageOps.flip(picture(0)), picture(2), picture(2)])
        assert set(near_copies(images, known=3)[:, 1].tolist()) == {3}

    @pytest.mark.parametrize("similar", [False, True])
    def test_no_pair_is_missed(self, similar, monkeypatch):
        """Against all pairs in all poses, one after the other; also where pictures are so alike that each pose is compared."""
        monkeypatch.setattr("balanced_mixup.data.pose_search._TILE", (16, 32))
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(60, 768)) + similar * 2 * rng.normal(size=768)
        vectors[30:] = 0.6 * vectors[:30][:, POSED[3]] + 0.4 * vectors[30:]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        best = np.max([vectors @ vectors[:, places].T for places in POSED], 0)
        expected = {(i, j) for i, j in zip(*np.nonzero(best >= 0.75), strict=True) if i < j}
        found = np.concatenate([*similar_pairs(vectors.astype(np.float16), np.arange(60), 0, 0.75)])
        assert len(expected) >= 30
        assert expected <= set(map(tuple, found.tolist()))
        assert len(found) < (1200 if similar else 200)


@pytest.mark.parametrize(("name", "pairs"), [("eyepacs-160", 0), ("ham10000-128", 0), ("chula-rbc12-64", 31)])
@pytest.mark.slow
def test_no_photographs_are_taken_for_copies(name, pairs, real_data, benchmark):
    found = benchmark.photographs(real_data(name) / "images")
    assert len(near_copies(np.stack([thumbnail(np.asarray(benchmark.opened(path))) for path in found]))) == pairs


def test_copies_of_an_excluded_image_stay_together():
    copies = Copies(("a", "a", "b", "c", "d", "", ""), (("a", "b"), ("b", "c")))
    assert copies.together == ("a", "a", "a", "a", "d", "", "")
    without = copies.subset(np.array([0, 3, 4])).together
    assert without[0] == without[1] != without[2]


@pytest.fixture
def data(tmp_path):
    """Return a function that writes 20 images, of which 3.jpg is 2.png mirrored and 5.bmp has the pixels of 4.png."""

    def make(labels="xxxxxxxxxxyyyyyyyyyy", split=None):
        names = [f"{k}.png" for k in range(20)]
        names[3], names[5] = "3.jpg", "5.bmp"
        for k, name in enumerate(names):
            picture(k).save(tmp_path / name)
        ImageOps.mirror(picture(2)).save(tmp_path / "3.jpg", quality=80)
        picture(4).save(tmp_path / "5.bmp")
        split = split or ["train"] * 20
        rows = (f"{name},{label},{part}\n" for name, label, part in zip(names, labels, split, strict=True))
        (tmp_path / "labels.csv").write_text("image,label,split\n" + "".join(rows))
        given = {"split_column": "split"} if "test" in split else {}
        return load(DataSettings(data=str(tmp_path / "labels.csv"), **given))

    return make


def kinds(inspection):
    return {problem.kind: problem for problem in inspection.problems}


class TestCheck:
    def test_copies_are_listed_and_go_to_the_same_split(self, data):
        manifest = data()
        for seed in range(8):
            inspection = inspect(manifest, 0.3, 0.3, seed=seed)
            assert set(kinds(inspection)) == {"identical images", "near copies"}
            assert kinds(inspection)["identical images"].rows == (4, 5)
            assert kinds(inspection)["near copies"].rows == (2, 3)
            assert kinds(inspection)["near copies"].message.startswith("'2.png' and '3.jpg' look like copies of one image")
            split = inspection.planned.split
            assert split[2] == split[3] and split[4] == split[5]

    def test_without_them(self, data):
        assert inspect(data(), 0.3, 0.3, near_copies=False).problems == ()

    def test_labels_that_disagree(self, data):
        inspection = inspect(data("xxxyxyxxxxyyyyyyyyyy"), 0.3, 0.3)
        assert kinds(inspection)["identical images with different labels"].fatal
        problem = kinds(inspection)["near copies with different labels"]
        assert not problem.fatal and "'2.png' (x) and '3.jpg' (y)" in problem.message
        assert "--no-near-copies" in problem.remedy

    def test_both_sides_of_a_given_split(self, data):
        split = ["train"] * 3 + ["test"] + ["train"] * 10 + ["val"] * 3 + ["test"] * 3
        inspection = inspect(data(split=split), 0.3, 0.3)
        problem = kinds(inspection)["near copies in different splits"]
        assert problem.fatal and problem.rows == (2,)
        remaining, excluded = exclude(inspection)
        assert excluded.tolist() == [2]
        assert "near copies in different splits" not in kinds(remaining)

    @pytest.mark.parametrize("kind", ["none", "ram", "disk"])
    def test_every_cache_finds_the_same(self, data, kind, tmp_path):
        prepared = prepare(data(), 32, cache=Cache(kind, tmp_path / "cache"), val_fraction=0.3)
        assert prepared.copies.together[2] == prepared.copies.together[3]
        assert prepared.copies.same[4] == prepared.copies.same[5] != prepared.copies.same[2]
        assert len(set(prepared.copies.together)) == 18
        assert len(set(prepared.digests)) == 20

    def test_a_store_keeps_what_was_found(self, data, tmp_path, monkeypatch):
        manifest, cache = data(), Cache("disk", tmp_path / "cache")
        first = prepare(manifest, 32, cache=cache, val_fraction=0.3)
        monkeypatch.setattr(copies_module, "near_copies", None)  # not called again
        assert prepare(manifest, 32, cache=cache, val_fraction=0.3).copies == first.copies
        (file,) = (tmp_path / "cache").glob("*/copies-*.json")
        file.write_text("[")
        with pytest.raises(TypeError, match="not callable"):
            prepare(manifest, 32, cache=cache, val_fraction=0.3)


def test_the_search_ends_early_among_images_that_are_much_alike(monkeypatch, caplog):
    alike = thumbnails([picture(0)] * 4)
    assert set(near_copies(alike).ravel()) == {0, 1, 2, 3} and not caplog.text
    monkeypatch.setattr("balanced_mixup.data.near_copies._MOST_LOOKED_AT", 0)
    assert len(near_copies(alike)) == 0
    assert "too much alike to look for all near copies" in caplog.text


def test_drawn_images_are_no_copies(caplog):
    inspection = inspect(synthetic_fundus(60, 32), 0.2, 0.2)
    assert not inspection.copies.near and not caplog.text
    assert synthetic_fundus(60, 32).images.subset(range(3)).drawn


def test_of_too_many_images_identical_ones_alone_are_found(data, monkeypatch, caplog):
    monkeypatch.setattr("balanced_mixup.data.thumbnails.MOST", 3)
    inspection = inspect(data(), 0.3, 0.3)
    assert len(set(inspection.copies.same)) == 19 < 20
    assert "near copies" not in " ".join(kinds(inspection)) and not inspection.copies.near
    assert "Near copies were not looked for" in caplog.text


def test_recipes_of_earlier_versions_do_not_look_for_near_copies():
    assert make_recipe({}).near_copies
    assert make_recipe({"format": FORMAT}).near_copies
    assert not make_recipe({"format": 2}).near_copies
    assert make_recipe({"format": 2, "near_copies": True}).near_copies
