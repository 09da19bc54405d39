"""A data source: scikit-learn's 1,797 handwritten digits, of which the higher ones are made rare."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits

from balanced_mixup.data.images import ArrayImages
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import Source

LARGEST, SMALLEST = 170, 12  # images of the digits 0 and 9; those between fall geometrically


def load(settings: DataSettings) -> Manifest:
    """Return the digits; `settings` is what the user says of the data, of which nothing applies here."""
    return _long_tailed()


@cache
def _long_tailed() -> Manifest:
    grey, labels = load_digits(return_X_y=True)
    counts = np.rint(np.geomspace(LARGEST, SMALLEST, 10)).astype(int)
    rows = np.sort(np.concatenate([np.flatnonzero(labels == digit)[:count] for digit, count in enumerate(counts)]))
    pixels = np.rint(grey[rows].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    images = np.broadcast_to(pixels.repeat(4, axis=1).repeat(4, axis=2), (len(rows), 32, 32, 3))
    names = [f"digit-{row:04}" for row in rows]
    return Manifest(ArrayImages(names, np.ascontiguousarray(images)), labels[rows].astype(np.int64), tuple("0123456789"))


digits = Source("digits", "scikit-learn's handwritten digits, long-tailed: 170 zeros, 12 nines", load)
