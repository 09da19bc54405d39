"""`bmixup prepare` as a user types it: what it says, what it leaves behind, killed and resumed, and every mistake."""

import csv
import json
import multiprocessing
import os
import signal

import numpy as np
import pytest
import yaml
from filelock import FileLock
from PIL import Image

from balanced_mixup.cli import run
from balanced_mixup.datasets import pictures
from balanced_mixup.errors import RunError


@pytest.fixture
def command(command):
    """Run a command and return (exit status, standard output, standard error), each in one line."""

    def call(*arguments):
        status, out, err = command(*arguments)
        return status, " ".join(out.split()), err

    return call


def write_image(path, seed=0, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)).save(path)
    return path


@pytest.fixture
def raw(tmp_path):
    """HAM10000 with ten images of two lesions each, all classes."""
    root = tmp_path / "raw"
    classes = ["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df", "nv", "nv", "mel"]
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for i, name in enumerate(classes):
        write_image(root / f"HAM10000_images_part_{1 + i % 2}" / f"ISIC_{i}.jpg", i)
        lines.append(f"HAM_{i // 2},ISIC_{i},{name},histo,50.0,male,back")
    (root / "HAM10000_metadata.csv").write_text("\r\n".join(lines) + "\r\n", newline="")
    return root


@pytest.fixture
def prepare(command, raw, tmp_path):
    """Prepare the raw folder."""

    def call(*flags, name="ham10000", root=raw, out=tmp_path / "out", size=16, jobs=1):
        return command("prepare", name, "--root", root, "--out", out, "--size", size, "--jobs", jobs, *flags)

    return call


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TestResult:
    def test_the_folder_and_what_is_said(self, prepare, raw, tmp_path):
        (raw / "HAM10000_images_part_1" / "ISIC_0.jpg").unlink()
        (raw / "HAM10000_images_part_2" / "ISIC_1.jpg").write_bytes(b"")
        status, out, _ = prepare()
        assert status == 0
        assert "8 of 10,015 published images of the train split" in out
        assert "0 of 1,512 published images of the test split" in out
        assert "missing image: 1" in out and "unreadable image: 1" in out and "missing label file: 1" in out
        assert "ISIC2018_Task3_Test_GroundTruth.csv does not exist" in out
        assert f"Ready: `--data {tmp_path / 'out'}`" in out
        folder = tmp_path / "out"
        assert {path.name for path in folder.iterdir()} == {
            "images", "labels.csv", "problems.csv", "dataset.yaml", "prepare.yaml", ".lock",
        }  # fmt: skip
        table = rows(folder / "labels.csv")
        assert list(table[0]) == ["image", "label", "group", "split", "dx_type", "age", "sex", "localization"]
        assert table[0] == {
            "image": "images/isic_2.jpg", "label": "bkl", "group": "HAM_1", "split": "train", "dx_type": "histo",
            "age": "50.0", "sex": "male", "localization": "back",
        }  # fmt: skip
        about = yaml.safe_load((folder / "dataset.yaml").read_text())
        assert about["licence"] == "CC BY-NC 4.0" and about["size"] == 16 and about["made_by"].startswith("balanced-mixup ")
        assert about["columns"] == {"image": "image", "label": "label", "group": "group", "split": "split"}
        listed = {(row["kind"], row["image"]): row["message"] for row in rows(folder / "problems.csv")}
        assert "ISIC_1: the file has 0 bytes" in listed["unreadable image", "ISIC_1"]
        assert "HAM10000_metadata.csv line 2: no such file" in listed["missing image", "ISIC_0"]

    def test_json_is_one_object(self, raw, tmp_path, capsys):
        arguments = ("--root", raw, "--out", tmp_path / "out", "--size", 16, "--jobs", 1, "--json")
        assert run(["prepare", "ham10000", *map(str, arguments)]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["images"] == {"train": 10}
        assert said["classes"]["nv"] == {"train": {"labelled": 3, "prepared": 3}}
        assert said["problems"]["missing label file"] == 1

    def test_images_are_square_and_in_the_wanted_format(self, prepare, tmp_path):
        assert prepare("--format", "png", size=20)[0] == 0
        with Image.open(tmp_path / "out" / "images" / "isic_3.png") as image:
            assert (image.format, image.size) == ("PNG", (20, 20))

    def test_it_can_be_trained_on_and_checked(self, prepare, command, tmp_path):
        prepare()
        status, out, _ = command("check", "--data", tmp_path / "out", "--test-fraction", 0, "--val-fraction", 0.5, "--json")
        found = json.loads(out)
        assert [row["name"] for row in found["classes"]] == ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
        assert found["groups"]["count"] == 5
        assert found["split_given"] == ["train"]
        assert (status, found["errors"]) == (0, 0)

    def test_processes_make_the_same_images(self, raw, tmp_path, command, monkeypatch):
        monkeypatch.setattr(pictures, "_CHUNK", 3)
        for jobs in (1, 2):
            out = tmp_path / f"out{jobs}"
            assert command("prepare", "ham10000", "--root", raw, "--out", out, "--size", 16, "--jobs", jobs)[0] == 0
        for path in sorted((tmp_path / "out1" / "images").iterdir()):
            assert path.read_bytes() == (tmp_path / "out2" / "images" / path.name).read_bytes()
        assert (tmp_path / "out1" / "labels.csv").read_bytes() == (tmp_path / "out2" / "labels.csv").read_bytes()

    def test_photographs_of_the_retina_are_cropped_and_those_without_a_disc_named(self, command, tmp_path):
        raw, out = tmp_path / "raw", tmp_path / "out"
        y, x = np.mgrid[:60, :100]
        disc = np.uint8(np.hypot(x - 40, y - 30) < 25)[..., None] * np.uint8([200, 100, 50])
        (raw / "train").mkdir(parents=True)
        Image.fromarray(disc).save(raw / "train" / "1_left.jpeg", quality=95)
        Image.fromarray(disc * 0).save(raw / "train" / "1_right.jpeg")
        (raw / "trainLabels.csv").write_text("image,level\n1_left,0\n1_right,2\n")
        for _ in range(2):  # what was said is said again where nothing is left to do
            status, said, _ = command("prepare", "eyepacs", "--root", raw, "--out", out, "--size", 50, "--jobs", 1)
            assert status == 0
            assert "no retina disc: 1" in said
        assert {"kind": "no retina disc", "image": "1_right"}.items() <= rows(out / "problems.csv")[-1].items()
        assert len(rows(out / "labels.csv")) == 2
        with Image.open(out / "images" / "1_left.jpg") as image:
            bright = np.asarray(image).max(-1) > 60
        for side in (bright.any(0), bright.any(1)):  # the disc touches all sides
            assert side.argmax() <= 2 and side[::-1].argmax() <= 2

    def test_links_in_a_circle(self, prepare, raw):
        """Followed for ever, they would lead through 6^40 paths."""
        (raw / "other").mkdir()
        for number in range(6):
            (raw / f"link{number}").symlink_to(raw)
            (raw / "other" / f"link{number}").symlink_to(raw / "HAM10000_images_part_1")
        status, out, _ = prepare()
        assert status == 0
        assert "10 of 10,015 published images" in out and "copy" not in out


class TestAgain:
    def test_a_photograph_of_the_retina_that_was_damaged_since_is_made_again(self, command, tmp_path):
        raw, out = tmp_path / "raw", tmp_path / "out"
        for number in range(2):
            write_image(raw / "train" / f"{number}_left.jpeg", number)
        (raw / "trainLabels.csv").write_text("image,level\n0_left,0\n1_left,2\n")
        arguments = ("prepare", "eyepacs", "--root", raw, "--out", out, "--size", 16, "--jobs", 1)
        assert command(*arguments)[0] == 0
        images = [out / "images" / f"{number}_left.jpg" for number in range(2)]
        before = [path.read_bytes() for path in images]
        images[0].write_bytes(b"")
        assert command(*arguments)[0] == 0
        assert [path.read_bytes() for path in images] == before
        # Where the raw image is gone it is listed.
        images[0].write_bytes(b"")
        (raw / "train" / "0_left.jpeg").unlink()
        status, said, _ = command(*arguments)
        assert status == 0 and "unreadable image: 1" in said
        assert [row["image"] for row in rows(out / "labels.csv")] == ["images/1_left.jpg"]

    def test_what_is_there_is_not_made_again(self, prepare, raw, tmp_path):
        prepare()
        times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "images").iterdir()}
        tables = [(tmp_path / "out" / name).read_bytes() for name in ("labels.csv", "problems.csv", "dataset.yaml")]
        (tmp_path / "out" / "images" / "isic_3.jpg").unlink()
        (tmp_path / "out" / "images" / ".isic_3.jpg.123.tmp").write_bytes(b"half")
        assert '"made_now": 1,' in prepare("--json")[1]
        after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "images").iterdir()}
        assert [path.name for path in times if times[path] != after[path]] == ["isic_3.jpg"]
        assert after.keys() == times.keys()
        assert tables == [(tmp_path / "out" / name).read_bytes() for name in ("labels.csv", "problems.csv", "dataset.yaml")]

    def test_archive_by_archive(self, prepare, raw, tmp_path):
        """Raw images that have been prepared may go, so that a set larger than the disk can be prepared."""
        second = raw / "HAM10000_images_part_2"
        second.rename(tmp_path / "later")
        assert "5 of 10,015" in prepare()[1]
        for path in (raw / "HAM10000_images_part_1").iterdir():
            path.unlink()
        (tmp_path / "later").rename(second)
        assert "10 of 10,015" in prepare()[1]
        assert len(rows(tmp_path / "out" / "labels.csv")) == 10

    def test_into_the_raw_folder(self, prepare, raw):
        for _ in range(2):
            status, out, _ = prepare(out=raw / "prepared")
            assert (status, "image without label" in out) == (0, False)

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_killed_and_given_again(self, command, tmp_path, monkeypatch):
        raw, out = tmp_path / "raw", tmp_path / "out"
        lines = ["id_code,diagnosis"]
        for i in range(40):
            write_image(raw / "train_images" / f"{i}.png", i, (90, 90))
            lines.append(f"{i},{i % 5}")
        (raw / "train.csv").write_text("\n".join(lines))
        arguments = ["prepare", "aptos2019", "--root", str(raw), "--out", str(out), "--size", "64", "--jobs", "1"]
        write, written = pictures.write_atomically, []

        def write_and_be_killed(path, *rest):
            write(path, *rest)
            written.append(path)
            if len(written) == 13:
                os.kill(os.getpid(), signal.SIGKILL)

        for kept in (13, 26):
            with monkeypatch.context() as patch:
                patch.setattr(pictures, "write_atomically", write_and_be_killed)
                process = multiprocessing.get_context("fork").Process(target=run, args=(arguments,))
                process.start()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            assert len(list((out / "images").glob("[0-9]*.jpg"))) == kept
            status, _, err = command("check", "--data", out)
            assert (status, "to be fully prepared" in err and "Run the same `bmixup prepare` again" in err) == (2, True)
        assert command(*arguments)[0] == 0
        assert command(*arguments[:-5], str(tmp_path / "whole"), *arguments[-4:])[0] == 0
        names = sorted(path.name for path in (tmp_path / "whole" / "images").iterdir())
        assert sorted(path.name for path in (out / "images").iterdir()) == names
        assert len(names) == 40
        for name in (*(f"images/{name}" for name in names), "labels.csv", "dataset.yaml", "problems.csv"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class TestMistakes:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"size": 4}, "Expected --size to be from 8 to 4096 pixels, but got 4"),
            ({"size": 5000}, "Expected --size to be from 8 to 4096 pixels, but got 5000"),
            ({"jobs": 0}, "Expected --jobs to be at least 1, but got 0"),
        ],
    )
    def test_settings(self, prepare, tmp_path, settings, message):
        status, out, err = prepare(**settings)
        assert (status, out, message in err) == (2, "", True)
        assert not (tmp_path / "out").exists()

    def test_format(self, prepare):
        status, _, err = prepare("--format", "pgn")
        assert (status, "Expected --format to be jpg or png, but got 'pgn'. Did you mean 'png'?" in err) == (2, True)

    def test_other_settings_in_the_same_folder(self, prepare, tmp_path):
        prepare()
        status, _, err = prepare(size=32)
        assert status == 2
        assert "Expected the settings that" in err and "was started with, size 16; but got size 32" in err

    def test_another_data_set_in_the_same_folder(self, prepare, raw):
        prepare()
        (raw / "train.csv").write_text("id_code,diagnosis\nISIC_1,0\n")
        status, _, err = prepare(name="aptos2019")
        assert (status, "name 'ham10000', fundus False; but got name 'aptos2019', fundus True" in err) == (2, True)

    def test_a_folder_with_other_things(self, prepare, raw, tmp_path):
        status, _, err = prepare(out=raw)
        assert (status, "to be a new or empty folder" in err) == (2, True)
        (tmp_path / "file").touch()
        status, _, err = prepare(out=tmp_path / "file")
        assert (status, "Expected --out to be a folder, but" in err) == (2, True)
        (tmp_path / "damaged").mkdir()
        (tmp_path / "damaged" / "prepare.yaml").write_text("a: [")
        status, _, err = prepare(out=tmp_path / "damaged")
        assert (status, "is damaged" in err) == (2, True)

    def test_a_name_that_is_none(self, prepare):
        status, _, err = prepare(name="ham1000")
        assert (status, "Did you mean 'ham10000'?" in err) == (2, True)

    @pytest.mark.parametrize("kind", ["none", "missing", "a file"])
    def test_no_raw_folder(self, command, tmp_path, kind):
        root = tmp_path / "nowhere"
        if kind == "a file":
            root.touch()
        status, _, err = command(
            "prepare", "messidor2", "--out", tmp_path / "out", *(["--root", root] if kind != "none" else [])
        )
        assert status == 2
        assert "Expected --root, the folder with Messidor-2" in err and "Get it from https://www.adcis.net" in err
        assert {"none": "got none", "missing": "does not exist", "a file": "is a file"}[kind] in err

    def test_no_label_file(self, prepare, raw):
        (raw / "HAM10000_metadata.csv").unlink()
        status, _, err = prepare()
        assert (status, "expected HAM10000_metadata.csv or ISIC2018_Task3_Test_GroundTruth.csv" in err) == (2, True)

    def test_no_images(self, prepare, raw, tmp_path):
        for path in raw.rglob("*.jpg"):
            path.unlink()
        status, _, err = prepare()
        assert status == 2
        assert "got none of the 10 in its label files" in err and "Unpack the archives first" in err
        assert not (tmp_path / "out").exists()

    def test_no_image_that_can_be_read(self, prepare, raw, tmp_path):
        for path in raw.rglob("*.jpg"):
            path.write_bytes(b"<html>")
        status, _, err = prepare()
        assert (status, "ISIC_1: not an image" in err and "Download the images again" in err) == (2, True)
        assert not (tmp_path / "out" / "dataset.yaml").exists()
        for number, path in enumerate(raw.rglob("*.jpg")):
            write_image(path, number)
        assert prepare("--format", "png", size=20)[0] == 0  # the failed start does not bind its settings
        assert len(rows(tmp_path / "out" / "labels.csv")) == 10

    def test_a_full_disk(self, prepare, monkeypatch, tmp_path):
        write, written = pictures.write_atomically, []

        def full(path, save):
            if len(written) == 4:
                raise RunError("The file 'x.jpg' could not be written: No space left on device.")
            written.append(path)
            write(path, save)

        monkeypatch.setattr(pictures, "write_atomically", full)
        status, _, err = prepare()
        assert status == 1
        assert "No space left on device. Free some space if the disk is full, and run the same command again" in err
        monkeypatch.undo()
        assert '"made_now": 6,' in prepare("--json")[1]

    def test_two_at_once(self, prepare, tmp_path):
        prepare()
        with FileLock(tmp_path / "out" / ".lock"):
            status, _, err = prepare()
        assert (status, "Another process is preparing" in err) == (2, True)


class TestList:
    def test_each_published_data_set_has_a_line(self, command):
        status, out, _ = command("list", "sources")
        assert status == 0
        for word in ("eyepacs", "hyperkvasir", "kvasir-capsule", "dermamnist", "synthetic-fundus", "csv"):
            assert word in out

    def test_a_card(self, command):
        status, out, _ = command("list", "sources", "eyepacs")
        assert status == 0
        for words in (
            "train 35,126, test 53,576",
            "https://www.kaggle.com",
            "bmixup prepare eyepacs --root RAW",
            "25,810",
            "mild",
        ):
            assert words in out

    def test_mistakes(self, command):
        status, _, err = command("list", "sources", "eyepac")
        assert (status, "Did you mean 'eyepacs'?" in err) == (2, True)
        status, _, err = command("list", "metrics", "mcc")
        assert (status, "Expected a pattern only after `backbones` or `sources`, but got 'mcc' after metrics" in err) == (
            2,
            True,
        )


def test_the_name_of_a_published_data_set_is_no_data_yet(command):
    status, _, err = command("check", "--data", "hyperkvasir")
    assert status == 2
    assert "is the name of a published data set" in err and "bmixup prepare hyperkvasir --root RAW --out DIR" in err
