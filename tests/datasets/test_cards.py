"""Cards: what they say agrees with the label files as they were published, and every one of them is whole."""

import csv
import functools
from collections import Counter
from pathlib import Path

import pytest

from balanced_mixup.datasets import medmnist
from balanced_mixup.datasets.card import key
from balanced_mixup.datasets.cards import TASKS, get_card
from balanced_mixup.datasets.raw import scan
from balanced_mixup.datasets.raw_labels import read_labels
from balanced_mixup.errors import DataError, RunError, UsageError

FILES = [name for name in TASKS if name not in medmnist.SETS]


@pytest.fixture
def table(published_labels):
    def read(name, delimiter=","):
        with (published_labels / name).open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file, delimiter=delimiter))

    return read


@pytest.fixture(scope="module")
def labels(published_labels):
    return functools.cache(lambda name: read_labels(get_card(name), scan(published_labels, get_card(name))))


# ---- counts, each as the label files' README has it ----


def test_eyepacs(labels, table):
    found = labels("eyepacs")
    assert list(found.counts["train"].values()) and found.discrepancies == []
    assert [found.counts["train"][grade] for grade in "01234"] == [25810, 2443, 5292, 873, 708]
    assert found.counts["train"].total() == 35_126
    assert found.counts["test"].total() == 53_576 == len(table("eyepacs_retinopathy_solution.csv"))
    assert len(found.rows) == 35_126 + 53_576
    assert Counter(row.more.get("Usage") for row in found.rows.values()).keys() == {None, "Public", "Private"}
    assert found.rows["10_left"].group == found.rows["10_right"].group == "10"
    train, test = ({row.group for row in found.rows.values() if row.split == part} for part in ("train", "test"))
    assert not train & test


def test_messidor2(labels):
    found = labels("messidor2")
    assert [found.counts["all"][grade] for grade in "01234"] == [1017, 270, 347, 75, 35]
    assert len(found.rows) == 1744
    assert found.discrepancies == []
    assert {Path(row.image).suffix for row in found.rows.values()} == {".png", ".JPG"}


def test_hyperkvasir(labels, table):
    found = labels("hyperkvasir")
    assert len(found.rows) == 10_662
    assert len(found.counts["all"]) == 23
    assert (max(found.counts["all"].values()), min(found.counts["all"].values())) == (1148, 6)
    # Eight classes are called otherwise in the fold files; with the aliases not one of the rows disagrees.
    assert found.discrepancies == []
    other = {row["file-name"].removesuffix(".jpg"): row["class-name"] for row in table("hyperkvasir_5_fold_split.csv", ";")}
    assert sum(other[name] != row.label for name, row in found.rows.items()) == 4690
    assert Counter(row.more["fold2"] for row in found.rows.values()) == {"0": 5324, "1": 5338}
    assert Counter(row.more["fold5"] for row in found.rows.values()) == {"0": 2122, "1": 2122, "2": 2122, "3": 2122, "4": 2174}


def test_aptos2019(labels):
    found = labels("aptos2019")
    assert [found.counts["all"][grade] for grade in "01234"] == [1805, 370, 999, 193, 295]
    assert found.discrepancies == []


def test_kvasir_capsule(labels, table):
    found = labels("kvasir-capsule")
    assert found.counts["all"].total() == 47_161 == sum(len(table(f"kvasircapsule_split_{fold}.csv")) for fold in (0, 1))
    # Eight frames are in the folders and rows of two classes.
    assert Counter(finding.kind for finding in found.discrepancies) == {"contradictory labels": 8}
    assert len(found.rows) == 47_161 - 2 * 8
    assert Counter(row.more["fold2"] for row in found.rows.values()) == {"0": 23_061, "1": 24_100 - 16}
    videos = {fold: {row.group for row in found.rows.values() if row.more["fold2"] == fold} for fold in "01"}
    assert (len(videos["0"] | videos["1"]), len(videos["0"] & videos["1"])) == (43, 7)


def test_ham10000(labels):
    found = labels("ham10000")
    assert (found.counts["train"].total(), found.counts["test"].total()) == (10_015, 1_512)
    assert found.discrepancies == []
    assert len({row.group for row in found.rows.values() if row.split == "train"}) == 7470
    assert found.rows["isic_0034524"].label == "nv"
    assert found.rows["isic_0027419"].more["localization"] == "scalp"


@pytest.mark.parametrize("name", FILES)
def test_counts_are_those_of_the_label_files(labels, name):
    assert {part: dict(counts) for part, counts in labels(name).counts.items()} == get_card(name).counts


# ---- cards ----


@pytest.mark.parametrize("name", TASKS)
def test_a_card_is_whole(name):
    if name in medmnist.SETS:
        pytest.importorskip("medmnist")
    card = get_card(name)
    assert card.name == name
    assert card.task == TASKS[name]
    assert len(card.classes) > 1
    assert sum(card.published.values()) > 100
    for counts in card.counts.values():
        assert list(counts) == list(card.classes)
    assert all((card.title, card.url.startswith("https://"), card.licence, card.layout, card.groups, card.citation))
    assert all(card.class_of(name) == name for name in card.classes)
    assert all(card.class_of(alias) == name for alias, name in card.aliases.items())
    assert set(card.aliases.values()) <= set(card.classes)


def test_registry():
    with pytest.raises(
        UsageError, match=r"Expected a data set, one of eyepacs, .*got 'hyperkvasr'\. Did you mean 'hyperkvasir'\?"
    ):
        get_card("hyperkvasr")
    with pytest.raises(UsageError, match="one label per image, but got 'chestmnist': each of its images has up to 14 labels"):
        get_card("chestmnist")


def test_medmnist_comes_from_its_package():
    info = pytest.importorskip("medmnist").INFO
    two_dimensional = {name for name, about in info.items() if "3d" not in name and not about["task"].startswith("multi-label")}
    assert set(medmnist.SETS) == two_dimensional
    assert get_card("retinamnist").ordinal
    assert get_card("dermamnist").published == {"train": 7007, "val": 1003, "test": 2005}
    assert get_card("dermamnist").licence == "CC BY-NC 4.0"


def test_medmnist_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "medmnist", None)
    with pytest.raises(RunError, match=r'pip install "balanced-mixup\[medmnist\]"'):
        get_card("dermamnist")


@pytest.mark.parametrize(
    "name", ["10_left", "10_left.jpeg", "10_LEFT.JPG", "train/10_left.png", "a\\b\\10_left.tif", "deep/er/10_left.ppm"]
)
def test_names_are_matched_without_folder_extension_and_case(name):
    assert key(name) == "10_left"


# ---- label files that are not as published ----


def read(tmp_path, name, **files):
    for file, text in files.items():
        (tmp_path / (file + ".csv")).write_text(text)
    card = get_card(name)
    return read_labels(card, scan(tmp_path, card))


def test_no_label_file(tmp_path):
    with pytest.raises(
        DataError, match=r"expected trainLabels.csv or retinopathy_solution.csv, got no such file[\s\S]*kaggle.com"
    ):
        read(tmp_path, "eyepacs")


def test_another_table_under_its_name(tmp_path):
    with pytest.raises(DataError, match=r"trainLabels\.csv: expected the columns image, level; got id, grade"):
        read(tmp_path, "eyepacs", trainLabels="id,grade\na,0\n")
    (tmp_path / "image-labels.csv").write_text("Video file,Organ,Finding,Classification\na,Lower GI,cecum,x\n")
    with pytest.raises(
        DataError, match=r"2_fold_split\.csv: expected the columns file-name, class-name, split-index; got a, b"
    ):
        read(tmp_path, "hyperkvasir", **{"2_fold_split": "a;b\nc;d\n"})


def test_two_that_differ(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "trainLabels.csv").write_text("image,level\n1_left,0\n")
    with pytest.raises(DataError, match=r"expected one trainLabels\.csv, got .* and .*, which differ"):
        read(tmp_path, "eyepacs", trainLabels="image,level\n1_left,1\n")
    found = read(tmp_path, "eyepacs", trainLabels="image,level\n1_left,0\n")
    assert list(found.rows) == ["1_left"]


def test_rows_that_cannot_be_used_are_found(tmp_path):
    text = "image,level\n1_left,0\n1_right,5\n2_left,\n2_right,1\n2_right,1\n3_left,1\n3_left,2\n3_right,1,9\n"
    found = read(tmp_path, "eyepacs", trainLabels=text)
    assert list(found.rows) == ["1_left", "2_right", "3_right"]
    said = {(finding.kind, finding.image): finding.message for finding in found.discrepancies if finding.kind != "label count"}
    assert said == {
        ("missing label file", ""): "retinopathy_solution.csv does not exist: its images are excluded",
        ("malformed row", ""): "trainLabels.csv line 9: expected 2 cells, got 3",
        ("unknown class", "1_right"): "trainLabels.csv line 3: expected one of 0, 1, 2, 3, 4; got '5'",
        ("without a class", "2_left"): "trainLabels.csv line 4: image '2_left', level ''",
        ("repeated row", "2_right"): "trainLabels.csv line 6: again, as in trainLabels.csv line 5; the first is used",
        ("contradictory labels", "3_left"): (
            "trainLabels.csv line 8: 2, but trainLabels.csv line 7 has 1; the image is excluded"
        ),
    }
    counts = [finding.message for finding in found.discrepancies if finding.kind == "label count"]
    assert counts[0] == "train, class 0: expected 25810 labels, got 1"
    assert len(counts) == 5


def test_ungradable_photographs_are_listed(tmp_path):
    text = "id_code,diagnosis,adjudicated_dme,adjudicated_gradable\na.png,0,0,1\nb.JPG,,,0\nc.JPG,2,0,0\n"
    found = read(tmp_path, "messidor2", messidor_data=text)
    assert list(found.rows) == ["a"]
    ungradable = {finding.image: finding.message for finding in found.discrepancies if finding.kind == "without a class"}
    assert set(ungradable) == {"b.JPG", "c.JPG"}
    assert "adjudicated_gradable '0'" in ungradable["b.JPG"]


def test_folds_that_disagree_with_the_labels(tmp_path):
    text = "Video file,Organ,Finding,Classification\na,Lower GI,cecum,x\nb,Lower GI,polyps,x\nc,Lower GI,polyps,x"
    folds = "file-name;class-name;split-index\na.jpg;normal-cecum;0\nb.jpg;normal-cecum;1\nd.jpg;polyp;1\n"
    found = read(tmp_path, "hyperkvasir", **{"image-labels": text, "2_fold_split": folds})
    assert [row.more["fold2"] for row in found.rows.values()] == ["0", "1", ""]
    assert {(finding.kind, finding.image) for finding in found.discrepancies if finding.kind != "label count"} == {
        ("other class in the fold file", "b.jpg"),
        ("fold without label", "d.jpg"),
        ("label without fold", "c"),
    }


def test_both_editions_of_the_isic_test_labels(tmp_path):
    header = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
    found = read(tmp_path, "ham10000", ISIC2018_Task3_Test_GroundTruth=header + "x,0.0,1.0,0,0,0,0,0\ny,1,1,0,0,0,0,0\n")
    assert [(row.label, row.group, row.split) for row in found.rows.values()] == [("nv", "x", "test")]
    assert [finding.image for finding in found.discrepancies if finding.kind == "without a class"] == ["y"]
    text = "lesion_id,image_id,dx,dx_type,age,sex,localization\nL1,x,nv,histo,50,male,back\n"
    found = read(tmp_path, "ham10000", ISIC2018_Task3_Test_GroundTruth=text)
    assert [(row.label, row.group, row.split) for row in found.rows.values()] == [("nv", "L1", "test")]
