"""Class priors: which classes are rare, and the prior that probabilities are corrected to, by name or from a file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from balanced_mixup.calibration.priors import SUM_TOLERANCE
from balanced_mixup.data.sources.label_names import canonical
from balanced_mixup.data.sources.text_table import read_table
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.metrics import Array
from balanced_mixup.statistics.interval import Interval

PRIORS = ("train", "uniform", "estimate")


@dataclass(frozen=True)
class TargetPrior:
    """The class prior that probabilities are corrected to.

    name: One of `PRIORS`, or the file. shares: float64 (K,). low, high: (K,), the interval of an estimated one, else None.
    converged: False for an unreliable estimate.
    """

    name: str
    shares: Array
    low: Array | None = None
    high: Array | None = None
    converged: bool = True

    def to_dict(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return it for JSON: `{"name", "converged", "shares": {class: {"value", "low", "high"}}}`."""
        shares = {name: share.to_dict() for name, share in self.by_class(classes).items()}
        return {"name": self.name, "converged": self.converged, "shares": shares}

    def by_class(self, classes: tuple[str, ...]) -> dict[str, Interval]:
        """Return the prior of each class, with its interval if it is estimated."""
        nothing = np.full(len(classes), np.nan)
        ends = (nothing if end is None else end for end in (self.low, self.high))
        columns = zip(classes, self.shares.tolist(), *(end.tolist() for end in ends), strict=True)
        return {name: Interval(value, low, high) for name, value, low, high in columns}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned, in the order of its classes. KeyError, TypeError or ValueError where it is not."""
        shares = [Interval.from_dict(share) for share in content["shares"].values()]
        value, low, high = (np.array([getattr(share, end) for share in shares]) for end in ("value", "low", "high"))
        estimated = bool(np.isfinite(low).all())
        return cls(
            content["name"],
            value,
            low if estimated else None,
            high if estimated else None,
            bool(content.get("converged", True)),
        )


def rare_classes(counts: npt.ArrayLike) -> list[int]:
    """Return the classes with fewer than half of the training images they would have if all classes were equally large.

    Args:
        counts: (K,), training images of each class, or their shares.

    Returns:
        The rarest first; equally rare ones in the order of the classes.
    """
    n = np.asarray(counts, np.float64)
    # A class with exactly half as many is not rare, whichever way its share was rounded.
    rare = n < (0.5 - 1e-9) * n.mean()
    return [int(k) for k in np.argsort(n, kind="stable") if rare[k]]


def read_prior(path: Path, classes: tuple[str, ...]) -> Array:
    """Return the class prior (K,) in a CSV with the columns class and share, a row per class, in any order.

    Raises:
        UsageError: A class is missing, unknown or repeated, a share is not a number from 0 to 1, or they do not sum to 1.
        DataError: The file is not a table.
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
