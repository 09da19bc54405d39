"""The distinct values among many, so that work is done once for each of them and not once for each row."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def distinct(values: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the position of each of N values among the distinct ones, int64 (N,), and these in the order of appearance."""
    positions: defaultdict[str, int] = defaultdict()
    positions.default_factory = positions.__len__
    codes = np.fromiter(map(positions.__getitem__, values), np.int64, len(values))
    return codes, list(positions)


def repeats(values: Sequence[str]) -> dict[str, list[int]]:
    """Return the positions of each value that occurs several times, in ascending order."""
    codes, names = distinct(values)
    counts = np.bincount(codes, minlength=len(names))
    order, ends = np.argsort(codes, kind="stable"), np.cumsum(counts)
    return {names[k]: order[ends[k] - counts[k] : ends[k]].tolist() for k in np.flatnonzero(counts > 1).tolist()}
