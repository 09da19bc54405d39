"""Features on disk: each is computed once, whatever is killed or damaged, and `bmixup cache` sees them."""

import numpy as np
import pytest
from filelock import Timeout

from balanced_mixup.data import feature_store
from balanced_mixup.data.cached_stores import cached_stores
from balanced_mixup.data.feature_store import FeatureStore
from balanced_mixup.data.store import Store
from balanced_mixup.data.store_format import lock_of, locked

LENGTH = 5
MADE_BY = {"backbone": "net", "length": LENGTH, "weights": "w1"}
KEYS = [f"{number:x}/image" for number in range(10)]


def vector(key):
    return np.arange(LENGTH, dtype=np.float32) + sum(key.encode())


class Computer:
    """Computes vectors three at a time, and notes which; it can be interrupted after some pieces."""

    def __init__(self, keys=KEYS, pieces=None):
        self.keys, self.pieces, self.computed = keys, pieces, []

    def __call__(self, missing):
        for number, start in enumerate(range(0, len(missing), 3)):
            if number == self.pieces:
                raise KeyboardInterrupt
            positions = missing[start : start + 3]
            self.computed += [self.keys[position] for position in positions]
            yield positions, np.stack([vector(self.keys[position]) for position in positions])


def store_in(cache, **changes):
    return FeatureStore.under(cache, str(cache / "photos"), 32, {**MADE_BY, **changes})


def read(store, keys=KEYS, **options):
    """Read and check all vectors; returns the keys that had to be computed."""
    computer = Computer(keys, **options)
    found = store.read(keys, computer)
    assert found.dtype == np.float32
    assert (found == np.stack([vector(key) for key in keys])).all()
    return computer.computed


def test_a_vector_is_computed_once(tmp_path):
    store = store_in(tmp_path)
    assert read(store, KEYS[:4]) == KEYS[:4]
    assert read(store, KEYS[:4]) == []
    assert read(store, KEYS[2:7]) == KEYS[4:7]  # another fold
    assert read(store, KEYS[::-1]) == KEYS[:6:-1]
    assert read(store_in(tmp_path)) == []


def test_whatever_makes_other_features_has_another_store(tmp_path):
    read(store_in(tmp_path))
    for changes in ({"weights": "w2"}, {"backbone": "other"}):
        assert read(store_in(tmp_path, **changes)) == KEYS
    assert len(cached_stores(tmp_path)) == 3


def test_what_was_computed_before_a_kill_stays(tmp_path):
    store = store_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        read(store, pieces=2)
    assert read(store) == KEYS[6:]


def test_a_damaged_vector_is_computed_again(tmp_path):
    store = store_in(tmp_path)
    read(store)
    (file,) = store.folder.glob("pixels-*.bin")
    content = bytearray(file.read_bytes())
    content[3 * 4 * LENGTH + 1] ^= 1
    file.write_bytes(content)
    assert read(store) == [KEYS[3]]
    assert read(store) == []


def test_one_process_computes_while_others_wait(tmp_path, monkeypatch):
    store = store_in(tmp_path)

    def held(missing):
        with pytest.raises(Timeout):
            lock_of(store.folder).acquire(timeout=0)
        return Computer()(missing)

    def locked_after_another(folder):
        monkeypatch.setattr(feature_store, "locked", locked)
        store.read(KEYS, held)  # what another process has added while this one waited
        return locked(folder)

    monkeypatch.setattr(feature_store, "locked", locked_after_another)
    assert read(store) == []


def test_they_are_listed_verified_and_deleted_as_images_are(tmp_path):
    store = store_in(tmp_path)
    read(store)
    (found,) = cached_stores(tmp_path)
    assert (found.contents, found.images, found.size) == ("features of net", 10, 32)
    assert found.folder != Store.under(tmp_path, str(tmp_path / "photos"), 32).folder
    assert found.verify() == []
    (file,) = store.folder.glob("pixels-*.bin")
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    assert found.verify() == [KEYS[0]]
    assert cached_stores(tmp_path)[0].images == 9
    assert read(store) == [KEYS[0]]
    found.remove()
    assert cached_stores(tmp_path) == []


def test_many_additions_are_merged_into_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr("balanced_mixup.data.store_writer._MAX_FILES", 3)
    store = store_in(tmp_path)
    for end in range(1, len(KEYS) + 1):
        assert read(store, KEYS[:end]) == [KEYS[end - 1]]
    assert len(list(store.folder.glob("pixels-*.bin"))) <= 3
    assert read(store) == []
