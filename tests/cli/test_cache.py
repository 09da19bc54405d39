"""`bmixup cache` shows what the decoded images take of the disk, and deletes them and nothing else."""

import json
import multiprocessing
import os
import re
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from balanced_mixup.data.images import FileImages
from balanced_mixup.data.store import Store
from balanced_mixup.errors import human_bytes

fork = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def command(command):
    """Run `bmixup cache` and return (exit status, standard output, standard error in one line)."""
    return lambda *arguments: command("cache", *arguments)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BMIXUP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path, cache):
    """Return a function that makes a data set and stores it; `used` is the time of its last use."""

    def make(name, count, size=32, used=0):
        (tmp_path / name).mkdir(exist_ok=True)
        for number in range(count):
            Image.fromarray(np.full((9, 9, 3), number, np.uint8)).save(tmp_path / name / f"{number}.png")
        images = FileImages(tmp_path / name, [f"{number}.png" for number in range(count)])
        store = Store.under(cache, images.origin, size)
        with store.opened_for(images) as stored:
            for row in range(count):
                stored.scan(row)
        os.utime(store.folder / "store.json", (used, used))
        return store, stored

    return make


def day(number):
    """Return noon of a day in 2025, local time or not far from it."""
    return 1735732800 + 86400 * (number - 1)


class TestShowing:
    def test_nothing(self, command, cache):
        assert command() == (0, f"No decoded images and features in {cache}.\n", "")
        assert not cache.exists()
        assert {**json.loads(command("--json")[1]), "limit_bytes": 0} == {
            "cache_dir": str(cache), "cleared": False, "disk_bytes": 0, "limit_bytes": 0, "stores": [], "damaged": []
        }  # fmt: skip

    def test_a_table_the_last_used_first(self, command, store, cache, tmp_path, monkeypatch):
        monkeypatch.setenv("COLUMNS", "300")
        store("old", 3, used=day(3))
        store("new", 12, size=64, used=day(7))
        store("old", 2, size=16, used=day(5))
        status, out, _ = command()
        heading, *rows = [line.split() for line in out.splitlines() if line]
        assert status == 0
        assert heading == ["images", "of", "contents", "size", "images", "on", "disk", "last", "used"]
        assert [row[:6] for row in rows[:3]] == [
            [str(tmp_path / "new"), "decoded", "images", "64", "px", "12"],
            [str(tmp_path / "old"), "decoded", "images", "16", "px", "2"],
            [str(tmp_path / "old"), "decoded", "images", "32", "px", "3"],
        ]
        assert [row[8] for row in rows[:3]] == ["2025-01-07", "2025-01-05", "2025-01-03"]
        assert out.splitlines()[-1].startswith("Total: ")
        assert re.search(rf" of decoded images and features in {cache} \(limit \d.* [KMGT]iB\)\.$", out.splitlines()[-1])

    def test_json(self, command, store, cache, tmp_path):
        folder = store("data", 12, used=day(1))[0].folder
        status, out, _ = command("--json")
        found = json.loads(out)
        assert (status, found["cleared"]) == (0, False)
        assert found["stores"] == [
            {
                "folder": str(folder),
                "origin": str(tmp_path / "data"),
                "size": 32,
                "images": 12,
                "disk_bytes": found["disk_bytes"],
                "last_used": day(1),
                "format": 2,
                "contents": "decoded images",
            }
        ]
        assert found["disk_bytes"] >= 12 * 32 * 32 * 3

    def test_what_is_opened_again_comes_first(self, command, store, tmp_path):
        folder = store("a", 1, used=day(1))[0].folder
        store("b", 1, used=day(2))
        images = FileImages(tmp_path / "a", ["0.png"])
        with Store.under(folder.parent, images.origin, 32).opened_for(images):
            pass
        assert json.loads(command("--json")[1])["stores"][0]["origin"] == images.origin

    def test_images_of_one_folder(self, command, store, tmp_path, monkeypatch):
        store("a", 3)
        store("b", 3)
        monkeypatch.chdir(tmp_path)
        for name in (tmp_path / "a", "a", "b/../a"):
            found = json.loads(command("--data", name, "--json")[1])["stores"]
            assert [holding["origin"] for holding in found] == [str(tmp_path / "a")]
        assert command("--data", "c")[:2] == (0, f"No decoded images and features of c in {tmp_path / 'cache'}.\n")

    def test_another_folder(self, command, store, tmp_path):
        store("a", 1)
        assert json.loads(command("--cache-dir", tmp_path / "elsewhere", "--json")[1])["stores"] == []

    def test_it_fits_into_a_terminal(self, command, store, tmp_path, monkeypatch):
        """A long path is broken, and can still be told from others; numbers and dates never are."""
        monkeypatch.setenv("COLUMNS", "80")
        store("a" * 150, 12, used=day(1))
        lines = command()[1].splitlines()
        _, *table = lines[: lines.index("")]
        assert max(map(len, table)) <= 80
        assert sum(bool(re.search(r"  32 px +12 +\d.* KiB  2025-01-01 \d\d:\d\d$", line)) for line in table) == 1
        assert "".join(line.split("  ")[0] for line in table) == str(tmp_path / ("a" * 150))

    def test_brackets_in_a_path_are_shown_as_they_are(self, command, store, cache, tmp_path, monkeypatch):
        monkeypatch.setenv("COLUMNS", "300")
        store("[bold] data [", 1)
        assert str(tmp_path / "[bold] data [") in command()[1]
        assert "No decoded images and features of [red] in " in command("--data", "[red]")[1]
        assert command("--cache-dir", tmp_path / "[/red]")[:2] == (
            0,
            f"No decoded images and features in {tmp_path / '[/red]'}.\n",
        )

    def test_a_store_of_another_version_is_shown_too(self, command, store):
        folder = store("a", 3)[0].folder
        (folder / "store.json").write_text(json.dumps({**json.loads((folder / "store.json").read_text()), "format": 0}))
        (found,) = json.loads(command("--json")[1])["stores"]
        assert found["images"] == 0
        assert found["disk_bytes"] > 0


class TestClearing:
    def test_everything(self, command, store, cache):
        store("a", 3)
        store("b", 3)
        total = json.loads(command("--json")[1])["disk_bytes"]
        status, out, _ = command("--clear")
        assert status == 0
        assert f"Deleted {human_bytes(total)} of decoded images and features in {cache}." in out
        assert command()[1] == f"No decoded images and features in {cache}.\n"
        assert [path for path in cache.rglob("*") if path.stat().st_size] == []
        assert command("--clear")[:2] == (0, f"No decoded images and features in {cache}.\n")

    def test_images_of_one_folder(self, command, store, tmp_path):
        store("a", 3)
        store("a", 3, size=16)
        kept = store("b", 3)[0].folder
        found = json.loads(command("--clear", "--data", tmp_path / "a", "--json")[1])
        assert (found["cleared"], len(found["stores"])) == (True, 2)
        assert [holding["folder"] for holding in json.loads(command("--json")[1])["stores"]] == [str(kept)]

    def test_the_images_themselves_stay(self, command, store, tmp_path):
        store("a", 3)
        command("--clear")
        assert len(list((tmp_path / "a").iterdir())) == 3

    def test_a_training_that_uses_it_goes_on_and_the_next_one_makes_it_anew(self, command, store):
        pixels = store("a", 3)[1].pixels()
        assert command("--clear")[0] == 0
        assert pixels.gather(np.arange(3))[:, 0, 0, 0].tolist() == [0, 1, 2]
        assert store("a", 3)[1].pixels().gather(np.arange(3))[:, 0, 0, 0].tolist() == [0, 1, 2]

    @pytest.mark.parametrize("used", [day(1), day(3)], ids=["last", "first"])
    def test_what_another_process_adds_to_is_kept_and_the_rest_deleted(self, command, store, cache, tmp_path, used):
        store("b", 3, used=day(2))
        in_use = store("a", 3, used=used)[0]
        Image.new("RGB", (9, 9)).save(tmp_path / "a/new.png")
        with added_to(in_use, FileImages(tmp_path / "a", ["new.png"]), used):
            status, _, err = command("--clear")
            assert status == 1
            assert f"'{in_use.folder}' was kept: another process is adding images to it" in err
            left = json.loads(command("--json")[1])["stores"]
            assert [holding["folder"] for holding in left] == [str(in_use.folder)]
        assert command("--clear")[0] == 0
        assert json.loads(command("--json")[1])["stores"] == []

    def test_what_is_not_ours_is_never_touched(self, command, store, cache):
        ours = store("a", 3)[0].folder
        (ours / "notes.txt").write_text("mine")
        (cache / "photos").mkdir()
        for name in ("pixels.bin", "index.jsonl", "lock"):
            (cache / "photos" / name).write_text("mine")
        (cache / "notes.txt").write_text("mine")
        (cache / "link").symlink_to("nowhere")
        assert command("--clear")[0] == 0
        assert {path.name for path in (cache / "photos").iterdir()} == {"pixels.bin", "index.jsonl", "lock"}
        assert (cache / "notes.txt").read_text() == (ours / "notes.txt").read_text() == "mine"
        assert (cache / "link").is_symlink()

    @pytest.mark.parametrize(
        "content",
        ["", "{", "null", "[1]", "{}", '"format origin size"', '{"format": 1, "origin": "/a"}']
        + [
            json.dumps({"format": 1, "origin": origin, "size": size})
            for origin, size in ((None, 8), (3, 8), ("/a", "8"), ("/a", 0))
        ],
    )
    def test_a_store_json_of_something_else(self, command, store, cache, content):
        kept = store("a", 1)[0].folder
        (cache / "other").mkdir()
        (cache / "other/store.json").write_text(content)
        assert [holding["folder"] for holding in json.loads(command("--json")[1])["stores"]] == [str(kept)]
        assert command("--clear", "--data", "nowhere")[0] == command("--clear")[0] == 0
        assert (cache / "other/store.json").read_text() == content

    def test_it_cannot_be_deleted(self, command, store, cache, monkeypatch):
        folder = store("a", 3)[0].folder

        def refuse(*arguments, **options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "unlink", refuse)
        status, _, err = command("--clear")
        assert (status, f"'{folder}' could not be deleted: " in err, "Permission denied" in err) == (1, True, True)


class TestVerifying:
    def test_damage_is_named_dropped_and_the_exit_status_is_1(self, command, store, cache, tmp_path):
        folder = store("a", 12)[0].folder
        store("b", 3)
        assert command("--verify")[0] == 0
        (path,) = folder.glob("pixels-*.bin")
        content = bytearray(path.read_bytes())
        content[0] ^= 1
        content[-1] ^= 1
        path.write_bytes(content)
        status, out, err = command("--verify")
        assert (status, f" of decoded images and features in {cache}" in out) == (1, True)
        assert "damaged in the store (2)" in err
        assert f"{tmp_path / 'a' / '0.png'} at 32 px" in err and f"{tmp_path / 'a' / '11.png'} at 32 px" in err
        assert "They were dropped: the next training that needs them makes them again." in err
        status, out, err = command("--verify", "--json")
        assert (status, json.loads(out)["damaged"], err) == (0, [], "")
        assert json.loads(out)["stores"][0]["images"] in (3, 10)
        assert store("a", 12)[1].pixels().gather(np.arange(12))[:, 0, 0, 0].tolist() == list(range(12))

    def test_json_says_what_was_damaged(self, command, store, tmp_path):
        (path,) = store("a", 1)[0].folder.glob("pixels-*.bin")
        os.truncate(path, path.stat().st_size)
        path.write_bytes(bytes(reversed(path.read_bytes()[:-1])) + b"\xff")
        status, out, _ = command("--verify", "--json")
        assert (status, json.loads(out)["damaged"]) == (1, [f"{tmp_path / 'a' / '0.png'} at 32 px (decoded images)"])

    def test_images_of_one_folder(self, command, store, tmp_path):
        (path,) = store("a", 1)[0].folder.glob("pixels-*.bin")
        store("b", 1)
        path.write_bytes(b"\xff" * path.stat().st_size)
        assert command("--verify", "--data", tmp_path / "b")[0] == 0
        assert command("--verify", "--data", tmp_path / "a")[0] == 1

    def test_what_another_process_adds_to_is_not_verified(self, command, store, tmp_path):
        in_use = store("a", 3)[0]
        Image.new("RGB", (9, 9)).save(tmp_path / "a/new.png")
        with added_to(in_use, FileImages(tmp_path / "a", ["new.png"]), 0):
            status, _, err = command("--verify")
        assert (status, f"'{in_use.folder}' was not verified: another process is adding images to it" in err) == (1, True)


class TestLimiting:
    def test_the_least_recently_used_are_deleted_down_to_the_limit(self, command, store, cache):
        for number, name in enumerate("abc"):
            store(name, 20, used=day(number))
        taken = json.loads(command("--json")[1])["disk_bytes"]
        status, out, _ = command("--limit", f"{taken // 2}B")
        assert (status, "Deleted " in out.splitlines()[-1]) == (0, True)
        assert [found["origin"][-1] for found in json.loads(command("--json")[1])["stores"]] == ["c"]
        assert command("--limit", "20GB")[:2] == (0, f"No decoded images and features in {cache}.\n")

    def test_what_is_in_use_is_kept(self, command, store, cache):
        pixels = store("a", 3)[1].pixels()
        store("b", 3)
        found = json.loads(command("--limit", "0", "--json")[1])
        assert [deleted["origin"][-1] for deleted in found["stores"]] == ["b"]
        assert (found["cleared"], found["limit_bytes"]) == (True, 0)
        del pixels
        assert [deleted["origin"][-1] for deleted in json.loads(command("--limit", "0", "--json")[1])["stores"]] == ["a"]

    def test_mistakes(self, command, store, monkeypatch):
        store("a", 1)
        status, _, err = command("--limit", "20%")
        assert (status, "Expected --limit to be a size such as 20GB or 500MiB, but got '20%'." in err) == (2, True)
        status, _, err = command("--limit", "0", "--verify")
        assert (status, "Expected one of --clear, --verify and --limit, but got several." in err) == (2, True)
        monkeypatch.setenv("BMIXUP_CACHE_LIMIT", "lots")
        status, _, err = command()
        assert (status, "the environment variable BMIXUP_CACHE_LIMIT to be a size such as 20GB" in err) == (2, True)
        monkeypatch.delenv("BMIXUP_CACHE_LIMIT")
        assert len(json.loads(command("--json")[1])["stores"]) == 1

    def test_the_variable_is_the_limit_that_is_shown(self, command, store, monkeypatch):
        store("a", 1)
        monkeypatch.setenv("BMIXUP_CACHE_LIMIT", "20GiB")
        assert command()[1].splitlines()[-1].endswith("(limit 20.0 GiB).")


@contextmanager
def added_to(store, images, used):
    """Hold `store` open in a process of its own that adds `images` to it."""
    begun, may_end = fork.Event(), fork.Event()

    def add():
        with store.opened_for(images) as opened:
            opened.scan(0)
            os.utime(store.folder / "store.json", (used, used))
            begun.set()
            may_end.wait()

    process = fork.Process(target=add)
    process.start()
    assert begun.wait(30)
    try:
        yield
    finally:
        may_end.set()
        process.join(30)
        assert process.exitcode == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (2**30, "1.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_numbers_of_bytes(count, text):
    assert human_bytes(count) == text
