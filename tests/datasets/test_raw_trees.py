"""Raw folders laid out as their owners publish them, with tiny images: some missing, some left over, one unreadable.

Each is built twice: around the real label files, where they are at hand, and around small ones in the same formats.
"""

import csv
import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from balanced_mixup.data.images import load_rgb
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.datasets.card import key
from balanced_mixup.datasets.cards import get_card
from balanced_mixup.datasets.prepare import prepare_dataset

PER_CLASS = 6  # images of each class and part that a tree has; fewer where the class is smaller

HYPERKVASIR_FOLDERS = {  # organ and category of each finding, as in the archive
    "Lower GI": {
        "anatomical-landmarks": ("cecum", "ileum", "retroflex-rectum"),
        "pathological-findings": (
            "hemorrhoids", "polyps", "ulcerative-colitis-grade-0-1", "ulcerative-colitis-grade-1",
            "ulcerative-colitis-grade-1-2", "ulcerative-colitis-grade-2", "ulcerative-colitis-grade-2-3",
            "ulcerative-colitis-grade-3",
        ),
        "quality-of-mucosal-views": ("bbps-0-1", "bbps-2-3", "impacted-stool"),
        "therapeutic-interventions": ("dyed-lifted-polyps", "dyed-resection-margins"),
    },
    "Upper GI": {
        "anatomical-landmarks": ("pylorus", "retroflex-stomach", "z-line"),
        "pathological-findings": ("barretts", "barretts-short-segment", "esophagitis-a", "esophagitis-b-d"),
    },
}  # fmt: skip
CAPSULE_FOLDERS = {
    "Blood": "Blood - fresh", "Erythematous": "Erythema", "Foreign Bodies": "Foreign body",
    "Ileo-cecal valve": "Ileocecal valve", "Normal": "Normal clean mucosa", "Reduced Mucosal View": "Reduced mucosal view",
}  # fmt: skip
IN_FOLD_FILES = {
    "pylorus": "normal-pylorus", "cecum": "normal-cecum", "z-line": "normal-z-line", "polyps": "polyp",
    "hemorrhoids": "hemorroids", "barretts-short-segment": "short-segment-barretts", "esophagitis-a": "oesophagitis-a",
    "esophagitis-b-d": "oesophagitis-b-d",
}  # fmt: skip
PUBLISHED = {  # where the label files belong in the raw tree
    "eyepacs": {"eyepacs_trainLabels.csv": "trainLabels.csv", "eyepacs_retinopathy_solution.csv": "retinopathy_solution.csv"},
    "messidor2": {"messidor2_messidor_data.csv": "messidor_data.csv"},
    "aptos2019": {"aptos2019_train.csv": "train.csv"},
    "hyperkvasir": {
        "hyperkvasir_image-labels.csv": "labeled-images/image-labels.csv",
        "hyperkvasir_2_fold_split.csv": "official_splits/2_fold_split.csv",
        "hyperkvasir_5_fold_split.csv": "official_splits/5_fold_split.csv",
    },
    "kvasir-capsule": {"kvasircapsule_split_0.csv": "split_0.csv", "kvasircapsule_split_1.csv": "split_1.csv"},
    "ham10000": {
        "HAM10000_metadata.csv": "HAM10000_metadata.csv",
        "ISIC2018_Task3_Test_GroundTruth.csv": "ISIC2018_Task3_Test_GroundTruth/ISIC2018_Task3_Test_GroundTruth.csv",
    },
}


def small_labels(name, folder):
    """Write label files with two images a class in the published formats, line ends and encodings."""

    def write(file, rows, end="\n", separator=",", bom=False, last=True):
        text = end.join(separator.join(map(str, row)) for row in rows) + end * last
        (folder / file).write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))

    grades = [(2 * grade + k, grade) for grade in range(5) for k in range(2)]
    if name == "eyepacs":
        write("eyepacs_trainLabels.csv", [("image", "level"), *((f"1{n}_left", grade) for n, grade in grades)])
        rows = [(f"2{n // 2}_{('left', 'right')[n % 2]}", grade, "Public") for n, grade in grades]
        write("eyepacs_retinopathy_solution.csv", [("image", "level", "Usage"), *rows], end="\r\n")
    if name == "messidor2":
        rows = [(f"IM{n:04}.{('JPG', 'png')[n % 2]}", grade, 0, 1) for n, grade in grades]
        write(
            "messidor2_messidor_data.csv",
            [("id_code", "diagnosis", "adjudicated_dme", "adjudicated_gradable"), *rows],
            bom=True,
        )
    if name == "aptos2019":
        write("aptos2019_train.csv", [("id_code", "diagnosis"), *((f"00a{n}", grade) for n, grade in grades)])
    if name == "hyperkvasir":
        rows = [
            (f"{finding}-{k}", organ, finding, category)
            for organ, categories in HYPERKVASIR_FOLDERS.items()
            for category, findings in categories.items()
            for finding in findings
            for k in range(2)
        ]
        header = ("Video file", "Organ", "Finding", "Classification")
        write("hyperkvasir_image-labels.csv", [header, *rows], end="\r\n", last=False)
        for folds in (2, 5):
            split = [(f"{image}.jpg", IN_FOLD_FILES.get(row[0], row[0]), i % folds) for i, (image, _, *row) in enumerate(rows)]
            header = ("file-name", "class-name", "split-index")
            write(f"hyperkvasir_{folds}_fold_split.csv", [header, *split], separator=";")
    if name == "kvasir-capsule":
        for fold in range(2):
            rows = [(f"video{fold}_{i}.jpg", label) for i, label in enumerate(get_card(name).classes)]
            write(f"kvasircapsule_split_{fold}.csv", [("filename", "label"), *rows], last=False)
    if name == "ham10000":
        header = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
        rows = [
            (f"HAM_{i // 2}", f"ISIC_{i}", label, "histo", 50, "male", "back") for i, label in enumerate(list("abcdefg") * 2)
        ]
        rows = [
            (*row[:2], list(get_card(name).classes)["abcdefg".index(row[2])], *row[3:])
            for row in sorted(rows, key=lambda r: r[2])
        ]
        write("HAM10000_metadata.csv", [header, *rows], end="\r\n")
        names = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
        rows = [(f"ISIC_9{i}", *(float(i == k) for k in range(7))) for i in range(7)]
        write("ISIC2018_Task3_Test_GroundTruth.csv", [("image", *names), *rows], last=False)


def read(path, separator=","):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig")), delimiter=separator))


def published_rows(name, folder):
    """Return (image, label, split, group, place of the file) of each published row, read independently of the package."""
    if name == "eyepacs":
        for part, file in (("train", "trainLabels"), ("test", "retinopathy_solution")):
            for row in read(folder / f"eyepacs_{file}.csv"):
                image = row["image"]
                yield image, row["level"], part, image.split("_")[0], f"{part}/{image}.jpeg"
    if name == "messidor2":
        for row in read(folder / "messidor2_messidor_data.csv"):
            yield row["id_code"], row["diagnosis"], "", "", f"IMAGES/{row['id_code'].replace('.JPG', '.jpg')}"
    if name == "aptos2019":
        for row in read(folder / "aptos2019_train.csv"):
            yield row["id_code"], row["diagnosis"], "", "", f"train_images/{row['id_code']}.png"
    if name == "hyperkvasir":
        for row in read(folder / "hyperkvasir_image-labels.csv"):
            tract = row["Organ"].replace(" GI", "-gi-tract").lower()
            place = f"labeled-images/{tract}/{row['Classification']}/{row['Finding']}/{row['Video file']}.jpg"
            yield row["Video file"], row["Finding"], "", "", place
    if name == "kvasir-capsule":
        for fold in range(2):
            for row in read(folder / f"kvasircapsule_split_{fold}.csv"):
                image, label = row["filename"], row["label"]
                yield image, label, "", image.split("_")[0], f"labelled_images/{CAPSULE_FOLDERS.get(label, label)}/{image}"
    if name == "ham10000":
        for i, row in enumerate(read(folder / "HAM10000_metadata.csv")):
            place = f"HAM10000_images_part_{1 + i % 2}/{row['image_id']}.jpg"
            yield row["image_id"], row["dx"], "train", row["lesion_id"], place
        for row in read(folder / "ISIC2018_Task3_Test_GroundTruth.csv"):
            label = next(name for name, cell in row.items() if cell == "1.0")
            yield row["image"], label.lower(), "test", row["image"], f"ISIC2018_Task3_Test_Input/{row['image']}.jpg"


def photograph(path, seed=0):
    """Write a small disc on black ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:48, :64]
    disc = (x - 32) ** 2 + (y - 24) ** 2 < 20**2
    Image.fromarray((disc[..., None] * [180, 90, 40 + seed % 100]).astype(np.uint8)).save(path)


class Tree:
    """A raw folder of a data set; what was done to it is known."""

    def __init__(self, name, labels, root):
        self.name, self.root = name, root
        for file, place in PUBLISHED[name].items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(labels / file, root / place)
        every = list(published_rows(name, labels))
        times = Counter(image for image, *_ in every)
        self.rows = [row for row in every if times[row[0]] == 1]
        self.contradictory = len(every) - len(self.rows) - sum(n > 1 for n in times.values())
        taken = Counter()
        self.there = []
        for row in self.rows:
            taken[row[1:3]] += 1
            if taken[row[1:3]] <= PER_CLASS:
                photograph(root / row[4], len(self.there))
                self.there.append(row)

    def spoil(self):
        """Take away one image, damage one, add two without a label, put one into the folder of another class."""
        gone, damaged, moved = self.there[0], self.there[1], self.there[-1]
        (self.root / gone[4]).unlink()
        (self.root / damaged[4]).write_bytes(b"no image")
        photograph(self.root / Path(moved[4]).parent / "left_over.jpg")
        photograph(self.root / "surplus.png")
        self.damaged = damaged[0]
        self.there = [row for row in self.there if row not in (gone, damaged)]
        self.misplaced = []
        if get_card(self.name).class_folders:
            other = next(row for row in self.there if row[1] != moved[1])
            (self.root / moved[4]).rename(self.root / Path(other[4]).parent / Path(moved[4]).name)
            self.misplaced = [moved[0]]


# EyePACS has 88,702 rows, and the format of its files is no other with them.
@pytest.fixture(
    params=[f"{name}-{kind}" for name in PUBLISHED for kind in ("small", "real") if (name, kind) != ("eyepacs", "real")]
)
def tree(request, tmp_path):
    name, kind = request.param.rsplit("-", 1)
    if kind == "real":
        labels = request.getfixturevalue("published_labels")
    else:
        labels = tmp_path / "labels"
        labels.mkdir()
        small_labels(name, labels)
    tree = Tree(name, labels, tmp_path / "raw")
    tree.small = kind == "small"
    return tree


def found_problems(out):
    problems = {}
    for row in read(out / "problems.csv"):
        problems.setdefault(row["kind"], []).append(row["image"])
    return problems


def test_a_raw_tree_becomes_a_data_set(tree, tmp_path):
    tree.spoil()
    out, card = tmp_path / "out", get_card(tree.name)
    prepared = prepare_dataset(tree.name, tree.root, out, size=24, jobs=1)
    # The table holds just what is there, as published.
    expected = {f"images/{key(image)}.jpg": (label, split, group) for image, label, split, group, _ in tree.there}
    table = {row["image"]: (row["label"], row.get("split", ""), row.get("group", "")) for row in read(out / "labels.csv")}
    assert table == expected
    assert {path.name for path in (out / "images").iterdir()} == {Path(image).name for image in expected}
    assert {load_rgb(out / image).shape for image in expected} == {(24, 24, 3)}
    # Everything else is listed.
    problems = found_problems(out)
    missing = {row[0] for row in tree.rows} - {row[0] for row in tree.there} - {tree.damaged}
    assert set(problems.pop("missing image")) == missing
    assert problems.pop("unreadable image") == [tree.damaged]
    assert {Path(image).name for image in problems.pop("image without label")} == {"left_over.jpg", "surplus.png"}
    assert problems.pop("wrong class folder", []) == tree.misplaced
    assert len(problems.pop("contradictory labels", [])) == tree.contradictory
    assert set(problems) == ({"label count"} if tree.small else set())  # the small label files are not the published ones
    # Counts of labels and of images.
    about = yaml.safe_load((out / "dataset.yaml").read_text())
    counts = Counter((split or "all", label) for _, label, split, *_ in tree.there)
    assert {(part, name): n for part, of in about["counts"].items() for name, n in of.items() if n} == counts
    assert about["classes"] == list(card.classes)
    assert prepared.to_dict()["problems"] == Counter(row["kind"] for row in read(out / "problems.csv"))
    assert prepared.to_dict()["images"] == Counter(split or "all" for _, _, split, *_ in tree.there)
    assert prepared.new == len(tree.there)
    # And it can be trained on.
    manifest = load(DataSettings(data=str(out)))
    assert manifest.classes == tuple(card.classes)
    assert (manifest.counts() == [sum(row[1] == name for row in tree.there) for name in card.classes]).all()
    assert manifest.ordinal == card.ordinal
    assert (manifest.groups is None) == (not tree.there[0][3])
    assert (manifest.split is None) == (not tree.there[0][2])
    assert manifest.problems == ()


def test_published_folds_are_columns(tmp_path):
    small_labels("hyperkvasir", tmp_path)
    tree = Tree("hyperkvasir", tmp_path, tmp_path / "raw")
    prepare_dataset("hyperkvasir", tree.root, tmp_path / "out", size=8, jobs=1)
    rows = read(tmp_path / "out" / "labels.csv")
    assert [row["fold5"] for row in rows] == [str(i % 5) for i in range(46)]
    assert [row["fold2"] for row in rows] == [str(i % 2) for i in range(46)]
    assert {row["Organ"] for row in rows} == {"Lower GI", "Upper GI"}
    small_labels("kvasir-capsule", tmp_path)
    tree = Tree("kvasir-capsule", tmp_path, tmp_path / "raw2")
    prepare_dataset("kvasir-capsule", tree.root, tmp_path / "out2", size=8, jobs=1)
    assert all(row["fold2"] == row["group"][-1] for row in read(tmp_path / "out2" / "labels.csv"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_label_files_by_their_other_names_and_images_in_one_flat_folder(name, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    small_labels(name, raw)
    rows = list(published_rows(name, raw))
    for row in rows:
        photograph(raw / Path(row[4]).name)
    prepared = prepare_dataset(name, raw, tmp_path / "out", size=8, jobs=1)
    assert prepared.new == len(rows)
    assert set(prepared.kinds) <= {"label count"}


def test_nested_folders_copies_and_what_differs(tmp_path):
    """Kaggle's HAM10000 has each image twice; archives are unpacked into folders of their own name."""
    small_labels("ham10000", tmp_path)
    tree = Tree("ham10000", tmp_path, tmp_path / "raw")
    image, *_, place = tree.there[0]
    photograph(tree.root / "again" / "deeper" / Path(place).name)  # the same content, as its seed is 0
    other = tree.there[1]
    photograph(tree.root / "again" / Path(other[4]).name, seed=77)
    prepared = prepare_dataset("ham10000", tree.root, tmp_path / "out", size=8, jobs=1)
    problems = found_problems(tmp_path / "out")
    assert problems["copy"] == [image]
    assert problems["ambiguous image"] == [other[0]]
    assert prepared.new == len(tree.there) - 1


def test_an_exact_name_goes_before_another_extension(tmp_path):
    small_labels("messidor2", tmp_path)
    tree = Tree("messidor2", tmp_path, tmp_path / "raw")
    image, *_, place = next(row for row in tree.there if row[0].endswith(".png"))
    photograph(tree.root / Path(place).with_suffix(".bmp"), seed=50)
    prepare_dataset("messidor2", tree.root, tmp_path / "out", size=8, jobs=1)
    assert found_problems(tmp_path / "out")["copy"] == [image]
    assert key(image) in {Path(row["image"]).stem for row in read(tmp_path / "out" / "labels.csv")}


def test_folders_of_other_things_are_passed_over_and_counted(tmp_path):
    small_labels("hyperkvasir", tmp_path)
    tree = Tree("hyperkvasir", tmp_path, tmp_path / "raw")
    for folder in ("segmented-images/masks", "segmented-images/images", "unlabeled-images/images"):
        photograph(tree.root / folder / Path(tree.there[0][4]).name, seed=9)
    photograph(tree.root / "__MACOSX" / "._x.jpg")
    prepared = prepare_dataset("hyperkvasir", tree.root, tmp_path / "out", size=8, jobs=1)
    assert prepared.skipped == {"segmented-images": 2, "unlabeled-images": 1}
    assert set(prepared.kinds) <= {"label count"}
