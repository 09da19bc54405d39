"""Pixels in a store that are no longer what was written there: never used, named, and made good by the next training."""

import numpy as np
import pytest
from watched import NAMES, SIZE, decoded, fresh, pixels_of, places, read, scan_all, store_of

from balanced_mixup.data import store_writer
from balanced_mixup.data.cached_stores import cached_stores


def damage(path, images):
    """Change a byte of each of some images in a pixel file."""
    content = bytearray(path.read_bytes())
    for slot in images:
        content[slot * SIZE * SIZE * 3 + 7] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("slots", [(1,), range(6)], ids=["one", "all"])
def test_damage_is_named_and_made_good_by_the_next_training(stored, cache, caplog, slots):
    damage(pixels_of(stored, cache), slots)
    names = [key for key, (_, slot) in places(stored, cache).items() if slot in slots]
    pixels = scan_all(stored, cache)[0].pixels()
    for _ in range(2):
        np.testing.assert_array_equal(pixels.gather(np.arange(6)), fresh(stored))
        assert stored.work() == decoded(*names)
    (record,) = caplog.records
    named = "b.bmp" if slots == (1,) else "a.bmp, b.bmp, c.bmp and 3 more"
    assert record.getMessage() == (
        f"Damaged in the store {store_of(stored, cache).folder}: {named}. They are decoded from their files now, and stored "
        "again by the next training."
    )
    caplog.clear()
    for again in (decoded(*names), []):
        np.testing.assert_array_equal(read(stored, cache), fresh(stored))
        assert stored.work() == again
    assert "amaged" not in caplog.text


def test_verifying_drops_what_is_damaged(stored, cache):
    (found,) = cached_stores(cache)
    assert found.verify() == []
    damage(pixels_of(stored, cache), (2, 4))
    names = sorted(key for key, (_, slot) in places(stored, cache).items() if slot in (2, 4))
    assert found.verify() == names
    assert found.verify() == []
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
    assert stored.work() == decoded(*names)


def test_a_training_goes_on_while_its_store_is_verified_and_added_to(stored, watched, cache):
    pixels = scan_all(stored, cache)[0].pixels()
    damage(pixels_of(stored, cache), (2,))
    cached_stores(cache)[0].verify()
    read(stored, cache)
    np.testing.assert_array_equal(pixels.gather(np.arange(6)), fresh(stored))


def test_many_small_additions_end_in_one_file(watched, cache, later, monkeypatch):
    """Each file is kept open by each training."""
    monkeypatch.setattr(store_writer, "_MAX_FILES", 3)
    images, files = watched(), []
    for row in range(6):
        read(images.subset(np.array([row])), cache)
        files.append(len({file for file, _ in places(images, cache).values()}))
        assert len(list(store_of(images, cache).folder.glob("pixels-*.bin"))) == files[-1]
    assert files == [1, 2, 3, 1, 2, 3]
    assert images.work() == decoded(*NAMES)
    np.testing.assert_array_equal(read(images, cache), fresh(images))
    assert images.work() == []


@pytest.mark.parametrize(
    "values", ['"x", 0, 5', '"x", -1, 5', '"x", 0, "5"', '"x", 0, 4294967296', '["x"], 0, 5', '"x", 0', "1"]
)
def test_lines_of_an_index_that_name_no_image(stored, cache, values):
    with (store_of(stored, cache).folder / "index.jsonl").open("a") as index:
        for name in NAMES:
            index.write(f'["{name}", "fingerprint", "digest", 1, 1, {values}]\n')
    np.testing.assert_array_equal(read(stored, cache), fresh(stored))
