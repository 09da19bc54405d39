"""A score with its interval, and what to know before relying on it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

MARK = "*"  # beside a score with a warning, wherever it is shown

_SAME = 1e-9  # smaller differences between draws are rounding errors


@dataclass(frozen=True)
class Interval:
    """A score and its interval `low` to `high`; NaN where undefined.

    warning: Why the interval may not hold, as a sentence to be shown with it; None where its coverage is known.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    warning: str | None = None

    def to_dict(self) -> dict[str, float | str | None]:
        """Return value, low and high for JSON, with None for NaN, and the warning if there is one."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        content: dict[str, float | str | None] = {key: None if math.isnan(end) else end for key, end in ends.items()}
        return content if self.warning is None else {**content, "warning": self.warning}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError or ValueError where it is something else."""
        value, low, high = (math.nan if content[key] is None else float(content[key]) for key in ("value", "low", "high"))
        warning = content.get("warning")
        return cls(value, low, high, None if warning is None else str(warning))

    @property
    def mark(self) -> str:
        """What stands beside the score where it is shown: `MARK` if there is a warning, else nothing."""
        return "" if self.warning is None else MARK

    def warned(self, warning: str | None) -> Self:
        """Return the same with this warning; where the score is undefined, without one."""
        return replace(self, warning=None if math.isnan(self.value) else warning)

    def unless_constant(self) -> "Interval":
        """Return the score without an interval of width 0, which would look like certainty."""
        return Interval(self.value) if self.high - self.low < _SAME else self


def warnings_of(scores: Iterable[Interval], most: int = 3) -> list[str]:
    """Return the sentences to print below marked scores, each once; of more than `most` the first ones and how many follow."""
    found = list(dict.fromkeys(score.warning for score in scores if score.warning is not None))
    more = [f"... and {len(found) - most:,} more such warnings."] if len(found) > most else []
    return [f"{MARK} {sentence}" for sentence in found[:most]] + more
