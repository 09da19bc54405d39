"""A damaged image gives an array of the right shape or a DataError, in bounded memory."""

import io
import subprocess
import sys
import zlib

import mutate
import numpy as np
import pytest

from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.images import load_rgb
from balanced_mixup.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LIMIT = Decoding(max_megapixels=4)


def with_checksums(data):
    """Return a PNG whose checksums are right again, so that what they protect is decoded."""
    if not data.startswith(SIGNATURE):
        return data
    out, start = bytearray(data), len(SIGNATURE)
    while start + 12 <= len(out):
        end = start + 12 + int.from_bytes(out[start : start + 4])
        if end <= len(out):
            out[end - 4 : end] = zlib.crc32(out[start + 4 : end - 4]).to_bytes(4)
        start = end
    return bytes(out)


def decode_all(count, seed):
    """Decode `count` mutations and return how many gave pixels."""
    read = 0
    for number, (name, data) in enumerate(mutate.mutations(mutate.corpus("images"), count, seed)):
        if number % 3:
            data = with_checksums(data)
        try:
            pixels = load_rgb(io.BytesIO(data), 16, decoding=LIMIT)
        except DataError:
            continue
        assert pixels.shape == (16, 16, 3), name
        assert pixels.dtype == np.uint8, name
        read += 1
    return read


def test_the_corpus_is_intact():
    files = mutate.corpus("images")
    assert len(files) > 25
    for name, data in files.items():
        if name == "float.tif":
            with pytest.raises(DataError, match="unknown pixel range"):
                load_rgb(io.BytesIO(data))
        else:
            assert load_rgb(io.BytesIO(data), 16).any(), name


def test_damage_is_reproducible_and_damages():
    files = mutate.corpus("images")
    first, again, other = (list(mutate.mutations(files, 300, seed)) for seed in (0, 0, 1))
    assert first == again != other
    intact = set(files.values())
    assert sum(data in intact for _, data in first) < 30


def test_some_damaged_images():
    assert 40 < decode_all(400, seed=0) < 360


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_many_damaged_images_in_bounded_memory(seed):
    """In a process of its own, whose peak is known; an image of 4 megapixels needs at most 64 MB."""
    code = (
        "import resource, sys, test_fuzz_images as fuzz\n"
        "fuzz.decode_all(100, 0)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"assert fuzz.decode_all(10_000, {seed}) > 1000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=__file__.rpartition("/")[0])
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) * 1024 < 200e6
