"""The store shows no wrong pixel, whatever happens to images, disk or processes, and decodes no more than it must."""

import errno
import json
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import PIL
import psutil
import pytest
from filelock import FileLock, Timeout
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from PIL import Image

from balanced_mixup.data import store as store_module
from balanced_mixup.data import store_writer
from balanced_mixup.data.holdings import holdings
from balanced_mixup.data.images import ArrayImages, FileImages, stamp_of
from balanced_mixup.data.manifest import ImageSubset
from balanced_mixup.data.pixels import FilePixels
from balanced_mixup.data.store import Store, default_cache_dir
from balanced_mixup.errors import DataError, Problem, RunError

SIZE = 5
NAMES = [f"{letter}.bmp" for letter in "abcdef"]
REMEDIES = "Choose another folder with `--cache-dir`, or `--cache ram` or `none`"

# Processes of their own, which take over what the test has set up. They run nothing but the store.
fork = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Watched(FileImages):
    """Notes what is decoded and what is hashed, in a file: it is shared with other processes and survives their end."""

    def __init__(self, root, names, journal, pause=0.0, before=None, after=None):
        super().__init__(root, names)
        self.journal, self.pause, self.before, self.after = journal, pause, before, after

    def scan(self, index, size=None):
        return self._noted("decoded", index, lambda: super(Watched, self).scan(index, size))

    def digest(self, index):
        return self._noted("hashed", index, lambda: super(Watched, self).digest(index))

    def _noted(self, what, index, work):
        with self.journal.open("a") as file:
            file.write(f"{what} {self.key(index)}\n")
        time.sleep(self.pause)
        if self.before:
            self.before(self.key(index))
        result = work()
        if self.after:
            self.after(self.key(index))
        return result

    def work(self):
        """Return what was done since the last call, sorted."""
        lines = self.so_far()
        self.journal.unlink(missing_ok=True)
        return lines

    def so_far(self):
        return sorted(self.journal.read_text().splitlines()) if self.journal.exists() else []


def decoded(*names):
    return sorted(f"decoded {name}" for name in names)


def hashed(*names):
    return sorted(f"hashed {name}" for name in names)


def write(path, seed, shape=(6, 8, 3)):
    """Write an image of its own for each seed; uncompressed, so that all of a shape have one size. Its change can be seen."""
    before = path.stat().st_ctime_ns if path.exists() else 0
    while not path.exists() or path.stat().st_ctime_ns == before:  # the clock of a file system may tick slowly
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)
    return path


def scan_all(images, cache_dir, size=SIZE, threads=1):
    """Read the images through their store, as a training does."""
    with Store.under(cache_dir, images.origin, size).opened_for(images) as stored, ThreadPoolExecutor(threads) as pool:
        scans = list(pool.map(stored.scan, range(len(images))))
    return stored, scans


def read(images, cache_dir, size=SIZE, threads=1):
    """Return the pixels that a training gets, (N, size, size, 3)."""
    return scan_all(images, cache_dir, size, threads)[0].pixels().gather(np.arange(len(images))).numpy()


def fresh(images, size=SIZE):
    return np.stack([FileImages.scan(images, row, size).pixels for row in range(len(images))])


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    for seed, name in enumerate(NAMES):
        write(tmp_path / "images" / name, seed)
    return tmp_path / "images"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def watched(root, tmp_path):
    """Return a function that gives the images of some names, all if not given."""
    return lambda names=NAMES, **options: Watched(root, list(names), tmp_path / "journal", **options)


@pytest.fixture
def later(monkeypatch):
    """Let ten seconds pass: the files have not changed lately."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)


@pytest.fixture
def stored(watched, cache, later):
    """Images that are all in the store."""
    images = watched()
    read(images, cache)
    images.work()
    return images


def store_of(images, cache_dir, size=SIZE):
    return Store.under(cache_dir, images.origin, size)


# ---- pixels ----


def save_all_kinds(folder):
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (30, 41, 3), np.uint8))
    grey = colour.convert("L")
    alpha = colour.copy()
    alpha.putalpha(grey)
    palette = colour.quantize(16)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    frames = [colour.rotate(angle).quantize(32) for angle in (90, 180)]
    colour.save(folder / "rgb.png")
    grey.save(folder / "grey.png")
    colour.convert("1").save(folder / "bits.png")
    palette.save(folder / "palette.png")
    palette.save(folder / "transparent.png", transparency=3)
    alpha.save(folder / "alpha.png")
    alpha.convert("LA").save(folder / "grey-alpha.png")
    colour.save(folder / "colour-key.png", transparency=colour.getpixel((0, 0)))
    Image.fromarray(rng.integers(0, 65536, (9, 7), np.uint16)).save(folder / "sixteen.png")
    Image.fromarray(rng.integers(0, 65536, (9, 7)).astype(np.int32)).save(folder / "integers.tif")
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    colour.convert("LAB").save(folder / "lab.tif")
    colour.save(folder / "rotated.jpg", exif=rotated)
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    colour.save(folder / "animated.webp", save_all=True, append_images=[colour.rotate(90)])
    colour.save(folder / "wavelets.jp2")
    colour.resize((400, 300)).save(folder / "large.jpg")  # decoded at a fraction
    Image.new("RGB", (1, 1), (7, 8, 9)).save(folder / "dot.ppm")
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", [1, 16, 50])
def test_every_kind_of_image_is_as_freshly_decoded(tmp_path, cache, size):
    (tmp_path / "kinds").mkdir()
    images = FileImages(tmp_path / "kinds", save_all_kinds(tmp_path / "kinds"))
    expected = fresh(images, size)
    for _ in range(2):
        stored, scans = scan_all(images, cache, size)
        np.testing.assert_array_equal(stored.pixels().gather(np.arange(len(images))), expected)
        for row, scan in enumerate(scans):
            assert scan[1:] == images.scan(row, size)[1:]


@pytest.mark.parametrize("shape", [(20, 6, 4), (20, 6, 4, 3)])
def test_arrays_from_a_file(tmp_path, cache, shape):
    def images(shape):
        np.save(tmp_path / "a.npy", (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape))
        file = tmp_path / "a.npy"
        return ArrayImages([f"{i}" for i in range(20)], np.load(file), file, stamp_of(file))

    def expected(images):
        return np.stack([images.read(row, SIZE) for row in range(20)])

    first = images(shape)
    for _ in range(2):
        np.testing.assert_array_equal(read(first, cache), expected(first))
    # The same bytes in the same number of images, but another height and width.
    turned = images((20, 4, 6, *shape[3:]))
    np.testing.assert_array_equal(read(turned, cache), expected(turned))


def test_each_size_and_origin_has_a_store_of_its_own(root, tmp_path, cache):
    shutil.copytree(root, tmp_path / "other" / root.name)
    write(tmp_path / "other" / root.name / "a.bmp", 99)
    for folder in (root, tmp_path / "other" / root.name):
        for size in (3, 4):
            images = FileImages(folder, NAMES)
            np.testing.assert_array_equal(read(images, cache, size), fresh(images, size))
    assert len(holdings(cache)) == 4


@given(st.text(min_size=1, max_size=60), st.integers(1, 9999))
@example("𠮷" * 60, 1024)
@example("..", 8)
@example(".hidden", 8)
@example("\udcff", 8)
@settings(max_examples=60, deadline=None)
def test_any_name_of_an_origin_makes_a_folder(name, size):
    with tempfile.TemporaryDirectory() as folder:
        store = Store.under(Path(folder), f"/data/{name}", size)
        store.folder.mkdir()
        assert store.folder.parent == Path(folder)
        assert not store.folder.name.startswith(".")


def test_several_threads(watched, root, cache):
    names = [f"{seed}.bmp" for seed in range(60)]
    for seed, name in enumerate(names):
        write(root / name, seed)
    images = watched(names)
    np.testing.assert_array_equal(read(images, cache, threads=8), fresh(images))
    assert images.work() == decoded(*names)
    np.testing.assert_array_equal(read(images, cache, threads=8), fresh(images))


def test_several_openings_in_one_process(watched, cache, later):
    images = watched(pause=0.01)
    with ThreadPoolExecutor(4) as threads:
        for pixels in threads.map(lambda _: read(images, cache), range(4)):
            np.testing.assert_array_equal(pixels, fresh(images))
    assert images.work() == decoded(*NAMES)


def test_a_name_that_comes_twice(watched, cache):
    images = watched(["a.bmp", "b.bmp", "a.bmp"])
    for _ in range(2):
        np.testing.assert_array_equal(read(images, cache, threads=3), fresh(images))


def test_the_place_of_the_stores(monkeypatch, tmp_path):
    monkeypatch.setenv("BMIXUP_CACHE_DIR", str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("BMIXUP_CACHE_DIR")
    assert default_cache_dir().name == "balanced-mixup"


def test_a_store_larger_than_memory_can_be_mapped(stored, cache):
    memory = psutil.virtual_memory().total + psutil.swap_memory().total
    with suppress(OSError):  # a file system that has no files of this size cannot hold such a store
        os.truncate(store_of(stored, cache).folder / "pixels.bin", 2 * memory)  # with a hole in it
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))


# ---- the second opening ----


def test_nothing_is_decoded_twice(stored, cache):
    index = (store_of(stored, cache).folder / "index.jsonl").read_bytes()
    for _ in range(2):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == []
    assert (store_of(stored, cache).folder / "index.jsonl").read_bytes() == index


def test_a_subset_uses_the_same_store(stored, cache):
    rows = np.array([4, 0, 0, 2])
    np.testing.assert_array_equal(read(ImageSubset(stored, rows), cache), fresh(stored)[rows])
    assert stored.work() == []


def test_the_rest_of_a_subset_is_added(watched, cache, later):
    images = watched()
    read(ImageSubset(images, np.array([3, 1])), cache)
    assert images.work() == decoded("b.bmp", "d.bmp")
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == decoded("a.bmp", "c.bmp", "e.bmp", "f.bmp")


def test_files_that_changed_within_two_seconds_are_compared_by_content(watched, cache, monkeypatch):
    images = watched()
    read(images, cache)
    assert images.work() == decoded(*NAMES)
    stored, _ = scan_all(images, cache)
    assert images.work() == hashed(*NAMES)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3 * 10**9)
    assert scan_all(images, cache)[0].slots.tolist() == stored.slots.tolist()
    assert images.work() == hashed(*NAMES)
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == []


class SlowClock(Watched):
    """Images on a file system whose clock ticked last when the test began."""

    def stamp(self, index):
        stamp = super().stamp(index)
        self.tick = getattr(self, "tick", stamp.changed_ns)
        return stamp._replace(mark=stamp.mark.split("-")[0], changed_ns=self.tick)


def test_a_change_that_leaves_no_trace_in_the_times(root, cache, tmp_path):
    images = SlowClock(root, NAMES, tmp_path / "journal")
    read(images, cache)
    write(root / "c.bmp", 77)
    np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_a_change_that_leaves_no_trace_while_an_image_is_decoded_for_seconds(root, cache, tmp_path, monkeypatch):
    now, waited = time.time_ns, []
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3 * 10**9 * len(waited))

    def wait(name):
        if not waited:
            write(root / name, 77)  # after its bytes were read
            waited.append(name)

    images = SlowClock(root, ["a.bmp"], tmp_path / "journal", after=wait)
    read(images, cache)
    np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_a_file_that_was_read_soon_after_its_change_and_is_stored_later(tmp_path, cache, monkeypatch):
    (tmp_path / "a.npy").touch()
    stamp, now = stamp_of(tmp_path / "a.npy"), time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)
    for value in (1, 2):  # written twice within a tick of the clock
        images = ArrayImages(["a"], np.full((1, 4, 4), value, np.uint8), tmp_path / "a.npy", stamp)
        assert read(images, cache)[0, 0, 0].tolist() == [value] * 3


# ---- changes of the images ----


def replaced_by_an_older_file(path):
    other = write(path.with_name("other.bmp"), 50)
    os.utime(other, (10**9, 10**9))
    other.replace(path)


def same_size_and_modification_time(path):
    times = path.stat()
    write(path, 51)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write(path, 52),
        lambda path: write(path, 53, shape=(3, 3, 3)),
        same_size_and_modification_time,
        replaced_by_an_older_file,
        lambda path: (path.unlink(), write(path, 54)),
        lambda path: (path.unlink(), path.symlink_to(write(path.with_name("target.bmp"), 55))),
    ],
    ids=["content", "size", "kept-mtime", "replaced", "made-anew", "link"],
)
def test_a_changed_image_alone_is_decoded_again(stored, root, cache, change):
    before = fresh(stored)
    change(root / "c.bmp")
    assert (fresh(stored) != before).any(axis=(1, 2, 3)).tolist() == [False, False, True, False, False, False]
    for _ in range(2):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == sorted(decoded("c.bmp") + hashed("c.bmp"))


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: path.touch(),
        lambda path: os.utime(path, (10**9, 10**9)),
        lambda path: path.chmod(0o600),
        lambda path: (shutil.copy(path, path.with_suffix(".new")), path.with_suffix(".new").replace(path)),
        lambda path: (path.rename(path.with_suffix(".away")), path.with_suffix(".away").rename(path)),
    ],
    ids=["touched", "old", "mode", "copied", "moved"],
)
def test_an_image_with_the_same_content_keeps_its_slot(stored, root, cache, touch):
    slots = scan_all(stored, cache)[0].slots.tolist()
    before = stamp_of(root / "c.bmp").mark
    while stamp_of(root / "c.bmp").mark == before:
        touch(root / "c.bmp")
    for _ in range(2):
        again, _ = scan_all(stored, cache)
        assert again.slots.tolist() == slots
    assert stored.work() == hashed("c.bmp")


def test_exchanged_names(stored, root, cache):
    (root / "a.bmp").rename(root / "x")
    (root / "b.bmp").rename(root / "a.bmp")
    (root / "x").rename(root / "b.bmp")
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == sorted(decoded("a.bmp", "b.bmp") + hashed("a.bmp", "b.bmp"))


def test_an_added_image_alone_is_decoded(stored, watched, root, cache):
    write(root / "new.bmp", 60)
    images = watched(["new.bmp", *NAMES])
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == decoded("new.bmp")


def test_a_removed_image_is_missed_and_the_others_are_not_decoded(stored, root, cache):
    expected = fresh(stored)
    (root / "c.bmp").rename(root / "away")
    with store_of(stored, cache).opened_for(stored) as opened:
        for row in (0, 1, 3, 4, 5):
            opened.scan(row)
        with pytest.raises(DataError, match=r"missing file[\s\S]*c\.bmp: no such file"):
            opened.scan(2)
    rows = np.array([0, 1, 3, 4, 5])
    np.testing.assert_array_equal(opened.pixels().gather(rows), expected[rows])
    assert stored.work() == decoded("c.bmp")
    (root / "away").rename(root / "c.bmp")
    np.testing.assert_array_equal(read(stored, cache), expected)
    assert stored.work() == hashed("c.bmp")


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_image_that_changes_while_it_is_read(watched, root, cache, later, when):
    changes = iter([70])

    def change(name):
        if name == "c.bmp":
            for seed in changes:
                write(root / name, seed)

    images = watched(**{when: change})
    with store_of(images, cache).opened_for(images) as opened:
        opened.scan(0)
        with pytest.raises(DataError, match=r"changed image[\s\S]*c\.bmp: the file changed while it was read[\s\S]*Leave"):
            opened.scan(2)
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert Counter(images.work())["decoded a.bmp"] == 1


def test_an_image_that_changes_while_it_is_compared(stored, root, cache):
    (root / "c.bmp").chmod(0o600)
    stored.after = lambda name: write(root / name, 71)
    with store_of(stored, cache).opened_for(stored) as opened, pytest.raises(DataError, match=r"c\.bmp: the file changed"):
        opened.scan(2)
    stored.after = None
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))


def test_an_image_that_changes_after_the_store_was_opened(stored, root, cache):
    with store_of(stored, cache).opened_for(stored) as opened:
        write(root / "c.bmp", 72)
        with pytest.raises(DataError, match=r"c\.bmp: the file changed"):
            opened.scan(2)
        opened.scan(3)


def test_an_image_that_appears_while_the_store_is_open(watched, root, cache):
    """It is in no slot, so that its pixels would be those of another image."""
    (root / "c.bmp").rename(root / "away")
    images = watched(before=lambda name: name == "c.bmp" and (root / "away").rename(root / "c.bmp"))
    with store_of(images, cache).opened_for(images) as opened:
        opened.scan(0)
        with pytest.raises(DataError, match=r"c\.bmp"):
            opened.scan(2)


# ---- bad images ----


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "missing file"),
        (lambda path: path.write_bytes(b""), "empty file"),
        (lambda path: path.write_bytes(path.read_bytes()[:80]), "damaged image"),
        (lambda path: path.write_text("hello"), "not an image"),
        (lambda path: (path.unlink(), path.mkdir()), "not a file"),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["from-the-first", "later-on"])
def test_a_bad_image_is_said_each_time_and_spoils_no_other(watched, root, cache, later, spoil, message, before):
    images, good = watched(), np.array([0, 1, 3, 4, 5])
    expected = fresh(images)
    if not before:
        read(images, cache)
    spoil(root / "c.bmp")
    said = []
    for _ in range(3):
        images.work()
        with store_of(images, cache).opened_for(images) as opened:
            for row in good:
                opened.scan(row)
            with pytest.raises(DataError, match=message) as error:
                opened.scan(2)
        said.append(error.value.problems)
        np.testing.assert_array_equal(opened.pixels().gather(good), expected[good])
    assert said[0] == said[1] == said[2]
    assert not set(images.work()) & set(decoded("a.bmp", "b.bmp", "d.bmp", "e.bmp", "f.bmp"))
    kept = 5 if before else 6
    assert (store_of(images, cache).folder / "pixels.bin").stat().st_size == kept * SIZE * SIZE * 3


def test_a_repaired_image_is_taken_in(watched, root, cache, later):
    images = watched()
    (root / "c.bmp").write_text("hello")
    with store_of(images, cache).opened_for(images) as opened, pytest.raises(DataError, match="not an image"):
        opened.scan(2)
    write(root / "c.bmp", 80)
    np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_a_row_without_a_file(root, cache):
    problem = Problem("no image path", "line 2: nothing", "Fill it in.")
    images = FileImages(root, ["nothing", "a.bmp"], [problem, "a.bmp"])
    for _ in range(2):
        with store_of(images, cache).opened_for(images) as opened:
            opened.scan(1)
            with pytest.raises(DataError) as error:
                opened.scan(0)
        assert error.value.problems == (problem,)
        np.testing.assert_array_equal(opened.pixels().gather(np.array([1]))[0], images.read(1, SIZE))


# ---- damage to the store ----


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_last_line_that_was_cut_off(stored, cache, cut):
    index = store_of(stored, cache).folder / "index.jsonl"
    lines = index.read_bytes().splitlines()
    os.truncate(index, index.stat().st_size - cut)
    for _ in range(2):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == ([] if cut == 1 else decoded(json.loads(lines[-1])[0]))


def test_pixels_that_were_cut_off(stored, cache):
    os.truncate(store_of(stored, cache).folder / "pixels.bin", int(2.5 * SIZE * SIZE * 3))
    for _ in range(2):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert set(decoded("c.bmp", "d.bmp", "e.bmp", "f.bmp")) <= set(stored.work())


def test_pixels_that_were_cut_off_do_not_come_back_as_those_of_others(stored, watched, root, cache):
    """What is added then must not lie in slots that the index still names for others."""
    os.truncate(store_of(stored, cache).folder / "pixels.bin", 2 * SIZE * SIZE * 3)
    new = [write(root / f"new{seed}.bmp", 90 + seed).name for seed in range(6)]
    read(watched(new), cache)
    images = watched([*NAMES, *new])
    np.testing.assert_array_equal(read(images, cache), fresh(images))


@pytest.mark.parametrize("name", ["index.jsonl", "pixels.bin", "store.json"])
def test_a_file_that_is_gone(stored, cache, name):
    (store_of(stored, cache).folder / name).unlink()
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == decoded(*NAMES)


@pytest.mark.parametrize(
    "change", [{"format": 0}, {"pillow": "1.0"}, {"origin": "/elsewhere"}, {"size": 6}, b"", b"{", b"\xff", b"[]"], ids=str
)
def test_a_store_of_another_version_is_made_anew(stored, cache, change):
    folder = store_of(stored, cache).folder
    header = json.loads((folder / "store.json").read_text())
    content = json.dumps(header | change).encode() if isinstance(change, dict) else change
    (folder / "store.json").write_bytes(content)
    (folder / "pixels.bin").write_bytes(b"\xaa" * (folder / "pixels.bin").stat().st_size)
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == decoded(*NAMES)
    assert json.loads((folder / "store.json").read_text()) == header
    read(stored, cache)
    assert stored.work() == []


def test_another_pillow_has_a_store_of_its_own(stored, cache, monkeypatch):
    before = store_of(stored, cache).folder
    monkeypatch.setattr(PIL, "__version__", "99.0")
    assert store_of(stored, cache).folder != before
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == decoded(*NAMES)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens to the images and to the store, and in which order: each opening shows the right pixels."""

    row = st.integers(0, 3)
    rows = st.lists(row, min_size=1, max_size=5).map(np.array)

    @initialize(settled=st.booleans())
    def begin(self, settled):
        self.folder, self.patch, now = Path(tempfile.mkdtemp()), pytest.MonkeyPatch(), time.time_ns
        self.patch.setattr(os, "fsync", lambda file: None)  # takes most of the time, and nothing is cut off from power here
        self.patch.setattr(time, "time_ns", lambda: now() + 10 * 10**9 * settled)
        self.images = FileImages(self.folder, NAMES[:4])
        self.store = Store.under(self.folder / "cache", self.images.origin, 2)
        for row in range(4):
            self.write(row, row)

    @rule(row=row, seed=st.integers(0, 99))
    def write(self, row, seed):
        write(self.folder / NAMES[row], seed, (2, 2, 3))

    @rule(row=row)
    def touch(self, row):
        with suppress(FileNotFoundError):
            os.utime(self.folder / NAMES[row])

    @rule(row=row)
    def remove(self, row):
        (self.folder / NAMES[row]).unlink(missing_ok=True)

    @rule(row=row)
    def spoil(self, row):
        (self.folder / NAMES[row]).write_text("hello")

    @rule(share=st.floats(0, 1), name=st.sampled_from(["index.jsonl", "pixels.bin"]))
    def cut_off(self, share, name):
        with suppress(FileNotFoundError):
            os.truncate(self.store.folder / name, int((self.store.folder / name).stat().st_size * share))

    @rule()
    def clear(self):
        for holding in holdings(self.store.folder.parent):
            holding.remove()

    @rule(rows=rows, flush=st.booleans())
    def open_and_be_killed(self, rows, flush):
        def build():
            store_writer._FLUSH_SECONDS = 0 if flush else 9
            with self.store.opened_for(ImageSubset(self.images, rows)) as opened:
                self.scan_what_is_good(opened, rows)
                os.kill(os.getpid(), signal.SIGKILL)

        process = fork.Process(target=build)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    @rule(rows=rows)
    def open(self, rows):
        some = ImageSubset(self.images, rows)
        with self.store.opened_for(some) as opened:
            good = self.scan_what_is_good(opened, rows)
        if len(good):
            np.testing.assert_array_equal(opened.pixels().gather(good), np.stack([some.read(row, 2) for row in good]))

    def scan_what_is_good(self, opened, rows):
        good = []
        for row in range(len(rows)):
            with suppress(DataError):
                opened.scan(row)
                good.append(row)
        return np.array(good, int)

    def teardown(self):
        if hasattr(self, "folder"):
            self.open(np.arange(4))
            self.patch.undo()
            shutil.rmtree(self.folder)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)


# ---- kills ----


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def killed(process, images, count, pause):
    """Start `process`, and kill it when it has begun to decode `count` images and `pause` seconds have passed."""
    process.start()
    wait_until(lambda: process.exitcode is not None or len(images.so_far()) >= count)
    time.sleep(pause)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_killed_at_any_moment_and_started_again(watched, root, cache, later, monkeypatch):
    monkeypatch.setattr(store_writer, "_FLUSH_SECONDS", 0.01)
    names = [write(root / f"{seed}.bmp", seed).name for seed in range(40)]
    images, moments = watched(names, pause=0.004), random.Random(0)
    store, indexed, kills = store_of(images, cache), [set()], 0
    for _ in range(12):
        process = fork.Process(target=read, args=(images, cache, SIZE, 2))
        kills += killed(process, images, moments.randrange(1, 12), moments.uniform(0, 0.01))
        assert not set(images.work()) & set(decoded(*indexed[-1]))
        index = store.index()
        indexed.append(set(index))
        if index:
            pixels = FilePixels(store.folder / "pixels.bin", SIZE, SIZE, np.array([entry.slot for entry in index.values()]))
            np.testing.assert_array_equal(pixels.gather(np.arange(len(index))), fresh(watched(index)))
    assert kills >= 4
    assert len(indexed[4]) > 5  # it gets on
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == decoded(*set(names) - indexed[-1])


@pytest.mark.parametrize("indexed", [0, 2])
def test_going_on_needs_no_more_room_than_what_a_killed_build_reserved(watched, cache, monkeypatch, indexed):
    images, size = watched(), 300
    monkeypatch.setattr(store_writer, "_FLUSH_SECONDS", 0 if indexed else 99)
    ends = watched(before=lambda name: name == "c.bmp" and os.kill(os.getpid(), signal.SIGKILL))
    process = fork.Process(target=read, args=(ends, cache, size))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(store_of(images, cache, size).index()) == indexed
    assert used_bytes(cache) >= 6 * size * size * 3
    disk_of(monkeypatch, cache, 6 * size * size * 3 + SOME)
    np.testing.assert_array_equal(read(images, cache, size), fresh(images, size))


# ---- several processes ----


@contextmanager
def building(images, cache_dir):
    """Hold the store of `images` open in a process that adds the first of them; yield the event at which it ends."""
    begun, may_end = fork.Event(), fork.Event()

    def build():
        with store_of(images, cache_dir).opened_for(images) as opened:
            opened.scan(0)
            begun.set()
            may_end.wait()

    process = fork.Process(target=build)
    process.start()
    assert begun.wait(30)
    try:
        yield may_end
    finally:
        may_end.set()
        process.join(30)
        assert process.exitcode == 0


def test_processes_that_begin_at_once(watched, cache, tmp_path, later):
    """One adds the images, the others say that they wait for it, and none is decoded twice."""
    images, together = watched(pause=0.05), fork.Barrier(3)

    def build(number):
        log = logging.getLogger("balanced_mixup")
        log.setLevel(logging.INFO)
        log.addHandler(logging.FileHandler(tmp_path / f"{number}.log"))
        together.wait(30)
        np.save(tmp_path / f"{number}.npy", read(images, cache))

    processes = [fork.Process(target=build, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    logs = "".join((tmp_path / f"{number}.log").read_text() for number in range(3))
    waits = f"Another process is adding images to {store_of(images, cache).folder}; waiting until it is done."
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert logs.count(waits) == 2
    assert logs.count("Storing decoded images in") == 1
    assert images.work() == decoded(*NAMES)
    for number in range(3):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), fresh(images))


def test_what_is_complete_is_read_while_others_add_to_it(stored, watched, root, cache, caplog):
    write(root / "new.bmp", 60)
    with building(watched(["new.bmp"]), cache):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert "waiting" not in caplog.text
    assert stored.work() == decoded("new.bmp")


def test_a_store_that_is_cleared_while_it_is_in_use(stored, cache):
    with store_of(stored, cache).opened_for(stored) as opened:
        for row in range(len(stored)):
            opened.scan(row)
        pixels = opened.pixels()
        holdings(cache)[0].remove()
    np.testing.assert_array_equal(pixels.gather(np.arange(len(stored))), fresh(stored))


@pytest.mark.parametrize("again", [False, True], ids=["cleared", "made-anew"])
def test_a_store_that_is_cleared_while_it_is_opened(stored, cache, again):
    with store_of(stored, cache).opened_for(stored) as opened:
        for row in range(len(stored)):
            opened.scan(row)
        holdings(cache)[0].remove()
        if again:  # in another order
            read(ImageSubset(stored, np.arange(len(stored))[::-1]), cache)
    np.testing.assert_array_equal(opened.pixels().gather(np.arange(len(stored))), fresh(stored))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_that_is_made_anew_while_its_index_is_read(stored, cache, monkeypatch, when):
    index, calls = Store.index, []

    def index_beside_another_process(store):
        calls.append(store)
        found = index(store) if when == "after" or len(calls) > 1 else None
        if len(calls) == 1:
            holdings(cache)[0].remove()
            read(ImageSubset(stored, np.arange(len(stored))[::-1]), cache)
        return index(store) if found is None else found

    monkeypatch.setattr(Store, "index", index_beside_another_process)
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))


def test_a_store_that_is_added_to_is_not_cleared(stored, watched, root, cache):
    write(root / "new.bmp", 60)
    with building(watched(["new.bmp"]), cache), pytest.raises(RunError, match="was kept: another process is adding images"):
        holdings(cache)[0].remove()
    images = watched([*NAMES, "new.bmp"])
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == decoded("new.bmp")


def test_a_store_that_is_cleared_while_another_process_waits_for_it(stored, watched, root, cache, monkeypatch):
    write(root / "new.bmp", 60)
    images, acquire, tries = watched([*NAMES, "new.bmp"]), FileLock.acquire, []

    def clear_before_the_second_try(lock, *arguments, **options):
        tries.append(lock)
        if len(tries) == 2:
            ends.set()
            wait_until(lambda: cleared())
        return acquire(lock, *arguments, **options)

    def cleared():
        with suppress(RunError):
            holdings(cache)[0].remove()
        return not holdings(cache)

    with building(watched(["new.bmp"]), cache) as ends:
        monkeypatch.setattr(FileLock, "acquire", clear_before_the_second_try)
        np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_a_process_that_begins_while_the_store_is_cleared_has_it_for_itself(stored, cache, monkeypatch):
    """Whoever comes next must meet its lock: two that add at once would overwrite each other's pixels."""
    release, opened = FileLock.release, []

    def release_and_let_the_next_one_in(lock, *arguments, **options):
        release(lock, *arguments, **options)
        if not opened:
            opened.append(store_of(stored, cache)._locked())
            opened[0].__enter__()

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "release", release_and_let_the_next_one_in)
        with suppress(RunError):
            holdings(cache)[0].remove()
    if opened:
        lock_file = next(cache.rglob("*lock"), None)
        assert lock_file is not None
        with pytest.raises(Timeout):
            FileLock(lock_file).acquire(timeout=0)
        opened[0].__exit__(None, None, None)


# ---- the disk ----


SOME = 4 * 4096  # for the small files of a store


def used_bytes(folder):
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def disk_of(monkeypatch, cache, capacity):
    """Put the cache on a disk of its own."""
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=max(0, capacity - used_bytes(cache))))


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("limit", ["free space", "reservation"])
@pytest.mark.parametrize("have", [0, 2], ids=["empty", "begun"])
def test_a_disk_that_is_too_small_is_found_out_first(watched, cache, later, monkeypatch, limit, have):
    images, size = watched(), 100
    store = store_of(images, cache, size)
    scan_all(ImageSubset(images, np.arange(have)), cache, size)
    images.work()
    with monkeypatch.context() as patch:
        if limit == "free space":
            disk_of(patch, cache, 6 * size * size * 3 - 1)
        else:
            reserve = os.posix_fallocate
            patch.setattr(os, "posix_fallocate", lambda file, start, count: reserve(file, start, count * 3 // 4) or full())
        remedies = r"Choose another folder with `--cache-dir`, make room \(`bmixup cache`\), or use `--cache none`"
        with pytest.raises(RunError, match=rf"need \d.* KiB, but the disk of .* has .* free\. {remedies}") as error:
            scan_all(images, cache, size)
    assert str(store.folder) in str(error.value)
    assert images.work() == []
    assert used_bytes(cache) < 3 * size * size * 3  # what was reserved is given back
    np.testing.assert_array_equal(read(images, cache, size), fresh(images, size))
    assert images.work() == decoded(*NAMES[have:])


def test_a_disk_that_is_just_large_enough(watched, cache, monkeypatch):
    images, size = watched(), 100
    disk_of(monkeypatch, cache, 6 * size * size * 3 + SOME)
    np.testing.assert_array_equal(read(images, cache, size), fresh(images, size))


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_reserve_room(watched, cache, monkeypatch, error):
    def unsupported(*arguments):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    images = watched()
    np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_images_that_are_only_compared_need_no_room(stored, root, cache, monkeypatch):
    for name in NAMES:
        (root / name).chmod(0o600)
    disk_of(monkeypatch, cache, used_bytes(cache))
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == hashed(*NAMES)


@pytest.mark.parametrize("fault", ["pwrite", "fsync"])
def test_a_disk_that_is_full_or_fails_in_the_middle(watched, cache, later, monkeypatch, fault):
    images = watched()
    original, calls = getattr(os, fault), []

    def fail_from_the_third_on(*arguments):
        calls.append(arguments)
        return full() if len(calls) > 2 else original(*arguments)

    monkeypatch.setattr(store_writer, "_FLUSH_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, fault, fail_from_the_third_on)
        with pytest.raises(RunError, match=f"cannot be written: .*No space left on device.*{REMEDIES}") as error:
            scan_all(images, cache)
    assert str(store_of(images, cache).folder) in str(error.value)
    images.work()
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert 0 < len(images.work()) < len(NAMES)


def test_short_writes_are_completed(watched, cache, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:7], offset))
    images = watched()
    np.testing.assert_array_equal(read(images, cache), fresh(images))


def test_an_index_that_the_disk_does_not_take(watched, cache, root, later):
    """A limit of the system: what is buffered cannot be written at the second try either."""
    names = [write(root / f"{seed}.bmp", seed).name for seed in range(40)]
    images, limits = watched(names), resource.getrlimit(resource.RLIMIT_FSIZE)
    assert len(names) * 3 < 1000 < len(names) * 50
    images.journal = Path(os.devnull)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(RunError, match="cannot be written"):
            scan_all(images, cache, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    np.testing.assert_array_equal(read(images, cache, 1), fresh(images, 1))


# ---- read-only folders ----


@pytest.fixture
def read_only(monkeypatch, cache):
    """Return a function that makes the cache a file system that is mounted read-only; permissions do not bind root."""

    def refuse(path, *arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def guarded(original, writes):
        def call(path, *arguments, **options):
            inside = isinstance(path, str | Path) and Path(path).is_relative_to(cache)
            return (refuse if inside and writes(*arguments) else original)(path, *arguments, **options)

        return call

    def mount():
        monkeypatch.setattr(os, "open", guarded(os.open, lambda flags=0, *_: flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        for name in ("utime", "mkdir", "unlink", "truncate"):
            monkeypatch.setattr(os, name, guarded(getattr(os, name), lambda *_: True))

    return mount


def test_a_complete_store_that_is_read_only(stored, cache, read_only):
    read_only()
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == []


def test_an_incomplete_store_that_is_read_only(stored, watched, root, cache, read_only):
    write(root / "new.bmp", 60)
    read_only()
    images = watched([*NAMES, "new.bmp"])
    with pytest.raises(RunError, match=f"cannot be written: .*Read-only.*{REMEDIES}") as error:
        scan_all(images, cache)
    assert str(store_of(images, cache).folder) in str(error.value)
    assert images.work() == []


def test_no_store_in_a_read_only_folder(watched, cache, read_only):
    cache.mkdir()
    read_only()
    with pytest.raises(RunError, match=f"cannot be written: .*Read-only.*{REMEDIES}"):
        scan_all(watched(), cache)


@pytest.mark.parametrize("complete", [True, False])
def test_a_folder_without_the_right_to_write(stored, watched, root, cache, complete):
    write(root / "new.bmp", 60)
    images, folder = watched(NAMES if complete else [*NAMES, "new.bmp"]), store_of(stored, cache).folder
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("needs a user whom permissions bind")
        if complete:
            np.testing.assert_array_equal(read(images, cache), fresh(images))
        else:
            with pytest.raises(RunError, match=f"cannot be written: .*Permission denied.*{REMEDIES}"):
                scan_all(images, cache)
    finally:
        folder.chmod(0o755)


# ---- Many images, decoded by other processes ----


@pytest.fixture
def many(tmp_path, monkeypatch):
    """Thirty images, which count as many, the seventh of them cut off."""
    monkeypatch.setattr(store_module, "_MANY", 20)
    monkeypatch.setattr(store_module, "_CHUNK", 8)
    (tmp_path / "many").mkdir()
    names = [f"{row:02}.bmp" for row in range(30)]
    for row, name in enumerate(names):
        write(tmp_path / "many" / name, row)
    os.truncate(tmp_path / "many" / "07.bmp", 60)
    return FileImages(tmp_path / "many", names)


def readable(images):
    return FileImages(images._root, [name for name in images.names if name != "07.bmp"])


def test_many_images_are_decoded_by_processes_to_the_same_pixels(many, cache, later):
    with Store.under(cache, many.origin, SIZE).opened_for(many) as stored:
        assert len(stored._index) == 29  # before anything was scanned
        with pytest.raises(DataError, match=r"07\.bmp"):
            stored.scan(7)
        rows = [row for row in range(30) if row != 7]
        scans = [stored.scan(row) for row in rows]
    good = readable(many)
    np.testing.assert_array_equal(stored.pixels().gather(np.array(rows)).numpy(), fresh(good))
    assert [scan.digest for scan in scans] == [good.digest(row) for row in range(29)]
    np.testing.assert_array_equal(read(good, cache), fresh(good))


def test_a_disk_that_is_full_for_a_process_is_an_error_with_the_remedies(many, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "decode_into", full)
    with pytest.raises(RunError, match="cannot be written"), Store.under(cache, many.origin, SIZE).opened_for(many):
        pass
    monkeypatch.undo()
    np.testing.assert_array_equal(read(readable(many), cache), fresh(readable(many)))


def test_arrays_are_sent_to_processes_too(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(store_module, "_MANY", 20)
    (tmp_path / "file.npz").write_bytes(b"x")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 7, 3), np.uint8)
    images = ArrayImages([str(row) for row in range(40)], pixels, tmp_path / "file.npz", stamp_of(tmp_path / "file.npz"))
    expected = np.stack([images.scan(row, SIZE).pixels for row in range(40)])
    np.testing.assert_array_equal(read(images, cache), expected)
