"""Keyed randomness: every draw of this package is a function of a seed and of its purpose.

There is no global random state. The order of an epoch, a mixing weight, an augmentation or the initial weights come from
their key, such as (seed, "augment", epoch), and from their position in the epoch. So an interrupted run
resumes exactly, and the number of workers or ranks has no effect: each computes only the positions it needs, in O(1) each.
"""

import hashlib
import operator

import numpy as np
import numpy.typing as npt

Key = int | str


def key_of(seed: int, *key: Key) -> int:
    """Hash a seed and a key (the purpose first, then epoch, step ...) to 128 bits."""
    parts = (f"str:{part}" if isinstance(part, str) else f"int:{operator.index(part)}" for part in (seed, *key))
    text = "\x1f".join(parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, *key: Key) -> np.random.Generator:
    """Return the numpy generator of (seed, *key); equal keys give equal streams, different keys independent ones."""
    return np.random.Generator(np.random.Philox(key=key_of(seed, *key)))


def torch_seed(seed: int, *key: Key) -> int:
    """Return a seed for `torch.manual_seed` or `torch.Generator.manual_seed` of (seed, *key), 63 bits."""
    return key_of(seed, *key) >> 65


def bits(positions: npt.NDArray[np.int64], seed: int, *key: Key) -> npt.NDArray[np.uint64]:
    """Return 64 random bits for each position of the stream (seed, *key), in the shape of `positions`.

    The stream is counter based (SplitMix64: Steele, Lea and Flood, OOPSLA 2014, started at a hashed key), so any position
    can be drawn without those before it.
    """
    return scramble(positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + _word(key_of(seed, *key)))


def uniforms(positions: npt.NDArray[np.int64], seed: int, *key: Key) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for each position of the stream (seed, *key), in the shape of `positions`."""
    return (bits(positions, seed, *key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def scramble(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the SplitMix64 finaliser of each word: a bijection of 64 bits whose output looks random."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _word(key: int) -> np.uint64:
    return np.uint64(key & 0xFFFFFFFFFFFFFFFF)


def permuted(positions: npt.NDArray[np.int64], n: int, seed: int, *key: Key) -> npt.NDArray[np.int64]:
    """Return where a random permutation of 0..n-1, given by (seed, *key), sends each position (each in 0..n-1).

    A Feistel network on the bits of n - 1, walked until it falls below n (Black and Rogaway, CT-RSA 2002), so that a shuffle
    of 10^9 samples needs no memory and any subset of it can be computed alone. The walk takes under two steps on average.
    """
    low_bits = max(1, ((n - 1).bit_length() + 1) // 2)
    high_bits = max(1, (n - 1).bit_length() - low_bits)
    round_keys = [_word(key_of(seed, *key, "round", r)) for r in range(8)]
    low_mask, high_mask = np.uint64((1 << low_bits) - 1), np.uint64((1 << high_bits) - 1)

    def feistel(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        low, high = values & low_mask, values >> np.uint64(low_bits)
        for r in range(0, 8, 2):
            low = low ^ (scramble(high + round_keys[r]) & low_mask)
            high = high ^ (scramble(low + round_keys[r + 1]) & high_mask)
        return (high << np.uint64(low_bits)) | low

    values = feistel(positions.astype(np.uint64))
    outside = np.flatnonzero(values >= n)
    while len(outside):
        values[outside] = feistel(values[outside])
        outside = outside[values[outside] >= n]
    return values.astype(np.int64)
