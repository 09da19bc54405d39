"""Class shares: which classes are rare, and those that probabilities are corrected to, by name, from a file, or estimated."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.priors import SUM_TOLERANCE
from balanced_mixup.data.sources.label_names import canonical
from balanced_mixup.data.sources.table import read_table
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.metrics import Array

PRIORS = ("train", "uniform", "estimate")


@dataclass(frozen=True)
class TargetPrior:
    """The class shares that probabilities are corrected to.

    name: One of `PRIORS`, or the file. shares: float64 (K,). low, high: (K,), the interval of estimated ones, else None.
    converged: False for an estimate that says little.
    """

    name: str
    shares: Array
    low: Array | None = None
    high: Array | None = None
    converged: bool = True

    def to_dict(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return it ready for JSON: `{"name", "converged", "shares": {class: {"value", "low", "high"}}}`."""
        nothing = [None] * len(classes)
        ends = nothing if self.low is None else self.low.tolist(), nothing if self.high is None else self.high.tolist()
        columns = zip(classes, self.shares.tolist(), *ends, strict=True)
        shares = {name: {"value": value, "low": low, "high": high} for name, value, low, high in columns}
        return {"name": self.name, "converged": self.converged, "shares": shares}


def rare_classes(counts: npt.ArrayLike) -> list[int]:
    """Return the classes with fewer than half of the training images that each would have if all had equally many.

    Args:
        counts: (K,), training images of each class, or their shares.

    Returns:
        The rarest first; equally rare ones in the order of the classes.
    """
    n = np.asarray(counts, np.float64)
    # Shares are rounded: a class of exactly half as many is not rare, whichever way its share was rounded.
    rare = n < (0.5 - 1e-9) * n.mean()
    return [int(k) for k in np.argsort(n, kind="stable") if rare[k]]


def read_shares(path: Path, classes: tuple[str, ...]) -> Array:
    """Return the shares (K,) in a CSV with the columns class and share, a row a class, in any order.

    Raises:
        UsageError: A class is missing, unknown or there twice, a share is no number from 0 to 1, or they do not sum to 1.
        DataError: The file is no table.
    """
    table = read_table(path)
    for column in ("class", "share"):
        if column not in table.header:
            raise UsageError(f"Expected {path.name} to have the columns class and share, but got {', '.join(table.header)}.")
    shares: dict[str, float] = {}
    wrong = []
    for place, name, text in zip(table.where, map(canonical, table.column("class")), table.column("share"), strict=True):
        share = _number(text)
        if name not in classes:
            wrong.append(f"{place}: expected a class of the run, got {name!r}.{nearest(name, classes)}")
        elif name in shares:
            wrong.append(f"{place}: expected each class once, got {name!r} again.")
        elif not 0 <= share <= 1:
            wrong.append(f"{place}: expected a share from 0 to 1, got {text!r}.")
        shares[name] = share
    if missing := [name for name in classes if name not in shares]:
        wrong.append(f"{path.name}: expected a row for every class, got none for {', '.join(missing)} (0 is a share, too).")
    total = sum(shares.values())
    if not wrong and abs(total - 1) > SUM_TOLERANCE:
        wrong.append(f"{path.name}: expected shares that sum to 1, got a sum of {total:g}.")
    if wrong:
        raise UsageError("\n".join(wrong))
    return np.array([shares[name] for name in classes]) / total


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
