"""Keyed randomness: every draw of this package is a function of a seed and of what it is for.

There is no global random state. The order of an epoch, a mixing weight, an augmentation or the initial weights come from a
generator that is made from its key, such as (seed, "augment", epoch, step). So a run that was killed goes on exactly as it
would have, and the number of workers or ranks changes nothing.
"""

import hashlib

import numpy as np


def key_of(seed: int, *key: int | str) -> int:
    """Hash a seed and a key (the purpose first, then epoch, step ...) to 128 bits."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *key))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, *key: int | str) -> np.random.Generator:
    """Return the numpy generator of (seed, *key); equal keys give equal streams, different keys independent ones."""
    return np.random.Generator(np.random.Philox(key=key_of(seed, *key)))


def torch_seed(seed: int, *key: int | str) -> int:
    """Return a seed for `torch.manual_seed` or `torch.Generator.manual_seed` of (seed, *key), 63 bits."""
    return key_of(seed, *key) >> 65
