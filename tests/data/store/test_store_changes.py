"""Images that change, come, go or are bad: the store shows no wrong pixel and decodes no more than it must."""

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from watched import NAMES, SIZE, decoded, fork, fresh, hashed, pixels_of, places, read, scan_all, store_of, write

from balanced_mixup.data import store_writer
from balanced_mixup.data.cached_stores import cached_stores
from balanced_mixup.data.images import FileImages, stamp_of
from balanced_mixup.data.store import Store
from balanced_mixup.errors import DataError, Problem

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


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
    slots = places(stored, cache)
    before = stamp_of(root / "c.bmp").fingerprint
    while stamp_of(root / "c.bmp").fingerprint == before:
        touch(root / "c.bmp")
    for _ in range(2):
        scan_all(stored, cache)
        assert places(stored, cache) == slots
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
        with pytest.raises(DataError, match=r"changed image[\s\S]*c\.bmp: the file changed while it was read[\s\S]*Do not"):
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
    assert pixels_of(images, cache).stat().st_size == kept * SIZE * SIZE * 3


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

    @rule(share=st.floats(0, 1), files=st.sampled_from(["index.jsonl", "pixels-*.bin"]))
    def cut_off(self, share, files):
        for path in self.store.folder.glob(files):
            os.truncate(path, int(path.stat().st_size * share))

    @rule(place=st.integers(0, 99))
    def damage(self, place):
        for path in self.store.folder.glob("pixels-*.bin"):
            content = bytearray(path.read_bytes())
            if content:
                content[place % len(content)] ^= 1
                path.write_bytes(content)

    @rule()
    def verify(self):
        for store in cached_stores(self.store.folder.parent):
            store.verify()

    @rule()
    def clear(self):
        for store in cached_stores(self.store.folder.parent):
            store.remove()

    @rule(rows=rows, flush=st.booleans())
    def open_and_be_killed(self, rows, flush):
        def build():
            store_writer._FLUSH_SECONDS = 0 if flush else 9
            with self.store.opened_for(self.images.subset(rows)) as opened:
                self.scan_what_is_good(opened, rows)
                os.kill(os.getpid(), signal.SIGKILL)

        process = fork.Process(target=build)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    @rule(rows=rows)
    def open(self, rows):
        some = self.images.subset(rows)
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
TestAnyHistory.settings = settings(max_examples=30, stateful_step_count=12)
