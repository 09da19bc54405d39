"""The store shows what a fresh decoding shows, and decodes nothing twice."""

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from watched import NAMES, SIZE, Watched, decoded, fresh, hashed, places, read, scan_all, store_of, write

from balanced_mixup.data.cached_stores import cached_stores, default_cache_dir
from balanced_mixup.data.images import ArrayImages, FileImages, stamp_of
from balanced_mixup.data.store import Store


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
    assert len(cached_stores(cache)) == 4


@given(st.text(min_size=1, max_size=60), st.integers(1, 9999))
@example("𠮷" * 60, 1024)
@example("..", 8)
@example(".hidden", 8)
@example("\udcff", 8)
@settings(max_examples=40)
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


def test_nothing_is_decoded_twice(stored, cache):
    index = (store_of(stored, cache).folder / "index.jsonl").read_bytes()
    for _ in range(2):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == []
    assert (store_of(stored, cache).folder / "index.jsonl").read_bytes() == index


def test_a_subset_uses_the_same_store(stored, cache):
    rows = np.array([4, 0, 0, 2])
    np.testing.assert_array_equal(read(stored.subset(rows), cache), fresh(stored)[rows])
    assert stored.work() == []


def test_the_rest_of_a_subset_is_added(watched, cache, later):
    images = watched()
    read(images.subset(np.array([3, 1])), cache)
    assert images.work() == decoded("b.bmp", "d.bmp")
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == decoded("a.bmp", "c.bmp", "e.bmp", "f.bmp")


def test_files_that_changed_within_two_seconds_are_compared_by_content(watched, cache, monkeypatch):
    images = watched()
    read(images, cache)
    assert images.work() == decoded(*NAMES)
    before = places(images, cache)
    scan_all(images, cache)
    assert images.work() == hashed(*NAMES)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3 * 10**9)
    scan_all(images, cache)
    assert places(images, cache) == before
    assert images.work() == hashed(*NAMES)
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == []


class SlowClock(Watched):
    """Images on a file system whose clock ticked last when the test began."""

    def stamp(self, index):
        stamp = super().stamp(index)
        self.tick = getattr(self, "tick", stamp.changed_ns)
        return stamp._replace(fingerprint=stamp.fingerprint.split("-")[0], changed_ns=self.tick)


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
