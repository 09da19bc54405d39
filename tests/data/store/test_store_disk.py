"""Damaged files of a store, disks that are full or fail, and folders that nobody may write to."""

import errno
import json
import os
import resource
from pathlib import Path

import numpy as np
import PIL
import pytest
from watched import (
    NAMES,
    REMEDIES,
    SIZE,
    SOME,
    decoded,
    disk_of,
    fresh,
    hashed,
    pixels_of,
    read,
    scan_all,
    store_of,
    used_bytes,
    write,
)

from balanced_mixup.data import store_writer
from balanced_mixup.errors import RunError


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_last_line_that_was_cut_off(stored, cache, cut):
    index = store_of(stored, cache).folder / "index.jsonl"
    lines = index.read_bytes().splitlines()
    os.truncate(index, index.stat().st_size - cut)
    for _ in range(2):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == ([] if cut == 1 else decoded(json.loads(lines[-1])[0]))


def test_pixels_that_were_cut_off(stored, cache):
    os.truncate(pixels_of(stored, cache), int(2.5 * SIZE * SIZE * 3))
    for _ in range(2):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == decoded("c.bmp", "d.bmp", "e.bmp", "f.bmp")


def test_pixels_that_were_cut_off_do_not_come_back_as_those_of_others(stored, watched, root, cache):
    """What is added then must not lie in slots that the index still names for others."""
    os.truncate(pixels_of(stored, cache), 2 * SIZE * SIZE * 3)
    new = [write(root / f"new{seed}.bmp", 90 + seed).name for seed in range(6)]
    read(watched(new), cache)
    images = watched([*NAMES, *new])
    np.testing.assert_array_equal(read(images, cache), fresh(images))


@pytest.mark.parametrize("name", ["index.jsonl", "pixels-*.bin", "store.json"])
def test_a_file_that_is_gone(stored, cache, name):
    (path,) = store_of(stored, cache).folder.glob(name)
    path.unlink()
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
    pixels_of(stored, cache).write_bytes(b"\xaa" * pixels_of(stored, cache).stat().st_size)
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


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("limit", ["free space", "reservation"])
@pytest.mark.parametrize("have", [0, 2], ids=["empty", "begun"])
def test_a_disk_that_is_too_small_is_found_out_first(watched, cache, later, monkeypatch, limit, have):
    images, size = watched(), 100
    store = store_of(images, cache, size)
    scan_all(images.subset(np.arange(have)), cache, size)
    images.work()
    with monkeypatch.context() as patch:
        if limit == "free space":
            disk_of(patch, cache, 6 * size * size * 3 - 1)
        else:
            reserve = os.posix_fallocate
            patch.setattr(os, "posix_fallocate", lambda file, start, count: reserve(file, start, count * 3 // 4) or full())
        remedies = r"Choose another folder with `--cache-dir`, free some space \(`bmixup cache`\), or use `--cache none`"
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
