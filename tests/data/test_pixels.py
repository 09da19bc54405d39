"""Wherever pixels lie, a gather gives the same; and a data set is the same whatever keeps its decoded images."""

import errno
import gc
import os
import re
import shutil
import time
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from balanced_mixup.data.images import ArrayImages, FileImages
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.pixel_file import OpenFile
from balanced_mixup.data.pixels import ArrayPixels, DevicePixels, SourcePixels, as_pixels
from balanced_mixup.data.preparation import Cache, prepare, read
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.data.stored_pixels import PLACE, StoredPixels
from balanced_mixup.errors import DataError, RunError

N, SIZE = 7, 4
EXPECTED = np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE, 3), np.uint8)
SHUFFLED = np.array([4, 0, 6, 1, 3, 2, 5])


def from_the_source(folder=None):
    images = ArrayImages([f"{row}" for row in range(N)], EXPECTED)
    return SourcePixels(images, SIZE, tuple(map(images.digest, range(N))))


def in_files(folder, pixels, slots, files=1, report=pytest.fail):
    """Return the N images as they are in slots of a file, of which there are several alike."""
    places = np.zeros(N, PLACE)
    places["file"], places["slot"] = np.arange(N) % files, slots
    places["checksum"] = [zlib.crc32(image) for image in EXPECTED]
    paths = [folder / f"pixels-{number}.bin" for number in range(files)]
    for path in paths:
        path.write_bytes(pixels.tobytes())
    return StoredPixels([OpenFile(path) for path in paths], places, from_the_source(), report)


KINDS = {
    "array": lambda folder: as_pixels(EXPECTED),
    "slots": lambda folder: ArrayPixels(EXPECTED[SHUFFLED], np.argsort(SHUFFLED)),
    "some of a larger array": lambda folder: ArrayPixels(np.repeat(EXPECTED, 3, axis=0), np.arange(0, 3 * N, 3)),
    "file": lambda folder: in_files(folder, EXPECTED, np.arange(N)),
    "some of several files": lambda folder: in_files(
        folder, np.repeat(EXPECTED[SHUFFLED], 2, axis=0), np.argsort(SHUFFLED) * 2, files=3
    ),
    "device": lambda folder: DevicePixels.copy_of(ArrayPixels(EXPECTED), torch.device("cpu")),
    "source": from_the_source,
}


@pytest.fixture(scope="module", params=KINDS)
def pixels(request, tmp_path_factory):
    """All kinds of the same pixels."""
    return KINDS[request.param](tmp_path_factory.mktemp("pixels"))


class TestPixels:
    def test_shape(self, pixels):
        assert pixels.shape == (N, SIZE, SIZE, 3)
        assert pixels.subset(np.array([5, 1])).shape == (2, SIZE, SIZE, 3)
        assert pixels.subset(np.zeros(0, np.int64)).shape == (0, SIZE, SIZE, 3)

    @pytest.mark.parametrize("rows", [range(N), [3], [6, 0, 2], [2, 2, 5, 2], []], ids=str)
    def test_a_gather_is_indexing(self, pixels, rows):
        rows = np.array(rows, np.int64)
        gathered = pixels.gather(rows)
        assert (gathered.dtype, gathered.is_contiguous()) == (torch.uint8, True)
        np.testing.assert_array_equal(gathered, EXPECTED[rows])

    def test_a_gather_is_a_copy(self, pixels):
        pixels.gather(np.arange(N)).fill_(0)
        np.testing.assert_array_equal(pixels.gather(np.arange(N)), EXPECTED)

    @given(st.data())
    @settings(max_examples=20)
    def test_a_subset_of_a_subset(self, pixels, data):
        some, rows = pixels, np.arange(N)
        for _ in range(3):
            chosen = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9)), np.int64)
            some, rows = some.subset(chosen), rows[chosen]
            np.testing.assert_array_equal(some.gather(np.arange(len(rows))), EXPECTED[rows])

    def test_pixels_stay_as_they_are(self, pixels):
        assert as_pixels(pixels) is pixels


def test_a_copy_for_the_device_is_made_in_parts():
    parts = []

    class Large:
        shape = (5, 6000, 6000, 3)  # two of them are under 256 MiB

        def gather(self, rows):
            parts.append(rows.tolist())
            return torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8, device="meta")

    assert DevicePixels.copy_of(Large(), torch.device("meta")).shape == Large.shape
    assert parts == [[0, 1], [2, 3], [4]]


def test_a_file_that_is_deleted_while_it_is_used(tmp_path):
    pixels = in_files(tmp_path, EXPECTED, np.arange(N))
    (tmp_path / "pixels-0.bin").unlink()
    for _ in range(2):
        some = pixels.subset(np.array([5, 1]))
        np.testing.assert_array_equal(pixels.gather(np.arange(N)), EXPECTED)
        np.testing.assert_array_equal(some.gather(np.arange(2)), EXPECTED[[5, 1]])
        (tmp_path / "pixels-0.bin").write_bytes(b"\0" * EXPECTED.size)  # another store in its place


@pytest.mark.parametrize("damage", ["cut off", "a bit", "another image", "disk"])
def test_damaged_images_are_decoded_from_their_source_and_named_once(tmp_path, monkeypatch, damage):
    said = []
    pixels, file = in_files(tmp_path, EXPECTED, np.arange(N), report=said.append), tmp_path / "pixels-0.bin"
    if damage == "cut off":
        os.truncate(file, EXPECTED.size - 1)
    elif damage == "disk":
        monkeypatch.setattr(os, "preadv", lambda *arguments: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    else:
        changed = EXPECTED.copy()
        changed[N - 1, 2, 3, 1] ^= 16
        if damage == "another image":
            changed[N - 1] = EXPECTED[0]
        file.write_bytes(changed.tobytes())
    some = pixels.subset(np.array([0, N - 1]))
    for _ in range(2):
        np.testing.assert_array_equal(some.gather(np.arange(2)), EXPECTED[[0, N - 1]])
        np.testing.assert_array_equal(pixels.gather(np.arange(N)), EXPECTED)
    damaged = range(N) if damage == "disk" else [N - 1]
    assert sorted(name for names in said for name in names) == [str(row) for row in damaged]


def test_an_image_that_is_damaged_and_has_changed_at_its_source(tmp_path):
    pixels = in_files(tmp_path, EXPECTED[::-1], np.arange(N), report=lambda names: None)
    pixels._source.images._pixels = EXPECTED[::-1]
    with pytest.raises(DataError, match="changed image"):
        pixels.gather(np.array([0]))


def test_an_image_is_verified_once_in_a_process(tmp_path, monkeypatch):
    pixels, read = in_files(tmp_path, EXPECTED, np.arange(N)), []
    monkeypatch.setattr(zlib, "crc32", lambda data, checksum=zlib.crc32: read.append(1) or checksum(data))
    for rows in ([0, 3], [3, 3], [0], [1]):
        pixels.subset(np.arange(N)).gather(np.array(rows))
    assert len(read) == 3


def test_files_are_closed_when_they_are_no_longer_used(tmp_path):
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("needs Linux, which says what files are open")
    gc.collect()
    before = len(list(open_files.iterdir()))
    pixels = in_files(tmp_path, EXPECTED, np.arange(N))
    for _ in range(20):
        pixels = pixels.subset(np.arange(N))
        pixels.gather(np.arange(N))
    assert len(list(open_files.iterdir())) <= before + 1
    del pixels
    gc.collect()
    assert len(list(open_files.iterdir())) == before


@pytest.fixture
def folder(tmp_path):
    for number in range(N):
        Image.fromarray(EXPECTED[number]).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda path: shutil.copy(path.with_name("1.png"), path),
            r"changed image[\s\S]*3\.png: its content has changed",
        ),
        (lambda path: path.unlink(), r"missing file[\s\S]*3\.png: no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), r"damaged image[\s\S]*3\.png"),
    ],
    ids=["changed", "missing", "damaged"],
)
def test_images_that_change_after_the_check(folder, spoil, message):
    images = FileImages(folder, [f"{number}.png" for number in range(N)])
    pixels = SourcePixels(images, SIZE, tuple(map(images.digest, range(N))))
    np.testing.assert_array_equal(pixels.gather(np.arange(N)), EXPECTED)
    spoil(folder / "3.png")
    for some, rows in ((pixels, [0, 3]), (pixels.subset(np.array([5, 3])), [0, 1])):
        with pytest.raises(DataError, match=message):
            some.gather(np.array(rows))
    np.testing.assert_array_equal(pixels.gather(np.array([0, 5])), EXPECTED[[0, 5]])


# ---- prepare ----

CACHES = ("none", "disk", "ram", "device")


@pytest.fixture
def table(tmp_path):
    """Forty images of two classes and of several sizes, two of them the same."""
    rng = np.random.default_rng(1)
    for number in range(40):
        pixels = rng.integers(0, 256, (9 + number % 3, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.{('png', 'jpg')[number % 2]}")
    shutil.copy(tmp_path / "0.png", tmp_path / "2.png")
    lines = [f"{number}.{('png', 'jpg')[number % 2]},{'ab'[number // 4 % 2]},p{number // 2}" for number in range(40)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,patient", *lines]))
    return tmp_path / "labels.csv"


def prepared_with(kind, table, **options):
    manifest = load(DataSettings(data=str(table), group_column="patient"))
    cache = Cache(kind, table.parent / "cache")
    return prepare(manifest, SIZE, cache=cache, val_fraction=0.2, test_fraction=0.2, **options)


def content(prepared):
    """Return all of it, to be compared."""
    manifest = prepared.manifest
    columns = [list(manifest.images.names), *(part.tolist() for part in (manifest.labels, manifest.split, manifest.groups))]
    pixels = prepared.pixels.gather(np.arange(len(manifest))).tolist()
    return pixels, columns, manifest.classes, manifest.problems, prepared.digests, prepared.excluded


def test_a_data_set_is_the_same_with_each_cache(table):
    found = {kind: prepared_with(kind, table) for kind in CACHES}
    images = found["none"].manifest.images
    assert found["none"].digests == tuple(map(images.digest, range(40)))
    decoded = np.stack([images.read(row, SIZE) for row in range(40)])
    np.testing.assert_array_equal(found["none"].pixels.gather(np.arange(40)), decoded)
    for prepared in (*found.values(), prepared_with("disk", table)):  # the last one from the store
        assert content(prepared) == content(found["none"])


def test_what_is_left_out_is_the_same_with_each_cache(table):
    """A file of each kind that cannot be read, and two that are the same image with different labels."""
    (table.parent / "5.jpg").unlink()
    (table.parent / "8.png").write_bytes(b"")
    (table.parent / "11.jpg").write_bytes((table.parent / "11.jpg").read_bytes()[:300])
    shutil.copy(table.parent / "13.jpg", table.parent / "17.jpg")
    for kind in CACHES:
        with pytest.raises(DataError) as error:
            prepared_with(kind, table)
        assert {"missing file", "empty file", "damaged image"} < {problem.kind for problem in error.value.problems}
    first = prepared_with("none", table, exclude_bad=True)
    assert [name for name, _ in first.excluded] == ["5.jpg", "8.png", "11.jpg", "13.jpg", "17.jpg"]
    assert len(first.manifest) == len(first.digests) == first.pixels.shape[0] == 35
    for kind in (*CACHES, "disk"):
        assert content(prepared_with(kind, table, exclude_bad=True)) == content(first)


def test_what_is_stored_is_not_read_again(table, monkeypatch):
    now = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)  # the files have not changed lately
        first = content(prepared_with("disk", table))
    monkeypatch.setattr(FileImages, "_bytes", lambda *arguments: pytest.fail("opened again"))
    assert content(prepared_with("disk", table)) == first
    assert content(prepared_with("device", table)) == first


@pytest.mark.parametrize("kind", CACHES)
@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["missing", "empty"])
def test_no_image_can_be_read(table, kind, spoil):
    for path in (*table.parent.glob("*.png"), *table.parent.glob("*.jpg")):
        spoil(path)
    for exclude_bad in (False, True):
        with pytest.raises(DataError, match=r"(missing|empty) file \(40\)"):
            prepared_with(kind, table, exclude_bad=exclude_bad)


@pytest.mark.parametrize("kind", CACHES)
def test_the_folder_of_the_stores_is_written_for_the_disk_alone(table, kind):
    prepared_with(kind, table)
    assert (table.parent / "cache").exists() == (kind in ("disk", "device"))


@pytest.mark.parametrize("kind", ["disk", "device", "ram"])
def test_images_that_are_in_no_file_are_kept_in_memory(tmp_path, kind):
    images = ArrayImages([f"{row}" for row in range(N)], EXPECTED)
    manifest = Manifest(images, np.arange(N) % 2, ("a", "b"))
    pixels, inspection = read(manifest, SIZE, Cache(kind, tmp_path / "cache"))
    np.testing.assert_array_equal(pixels.gather(np.arange(N)), EXPECTED)
    assert inspection.digests == tuple(map(images.digest, range(N)))
    assert not (tmp_path / "cache").exists()


class TestMemory:
    def available(self, monkeypatch, count):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "available total")(count, count))

    def test_too_little_is_found_out_before_anything_is_decoded(self, table, monkeypatch):
        self.available(monkeypatch, 40 * SIZE * SIZE * 3 - 1)
        monkeypatch.setattr(FileImages, "_bytes", lambda *arguments: pytest.fail("decoded"))
        with pytest.raises(RunError, match=r"need 1\.9 KiB, but 1\.9 KiB of memory are free.*`--cache disk`.*`--cache none`"):
            prepared_with("ram", table)

    def test_just_enough(self, table, monkeypatch):
        self.available(monkeypatch, 40 * SIZE * SIZE * 3)
        assert prepared_with("ram", table).pixels.shape[0] == 40

    @pytest.mark.parametrize("kind", ["none", "disk"])
    def test_what_is_not_in_memory_needs_none(self, table, monkeypatch, kind):
        self.available(monkeypatch, 0)
        assert prepared_with(kind, table).pixels.shape[0] == 40

    @pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux, which says what is a process's own")
    def test_pixels_from_the_disk_are_no_memory_of_the_process(self, table):
        def own_kib():
            return int(re.search(r"^Anonymous: +(\d+) kB$", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)[1])

        pixels, _ = read(load(DataSettings(data=str(table))), 512, Cache("disk", table.parent / "cache"))
        pixels.gather(np.array([0]))
        before, total = own_kib(), 0
        for row in range(40):
            total += pixels.gather(np.array([row])).nbytes
        assert total == 40 * 512 * 512 * 3
        assert own_kib() - before < total / 1024 / 5
