"""Scores of subgroups of the scored images: women and men, each site, bands of age."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from balanced_mixup.statistics.interval import Interval


@dataclass(frozen=True)
class Contrast:
    """A score of a subgroup, and its difference from that of all other images; NaN where undefined."""

    score: Interval
    difference: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return both for JSON."""
        return {"score": self.score.to_dict(), "difference": self.difference.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError or ValueError where it is something else."""
        return cls(Interval.from_dict(content["score"]), Interval.from_dict(content["difference"]))


@dataclass(frozen=True)
class Subgroup:
    """The images with a value in a column of the table, or in a band of values.

    n: Number of images. groups: Number of groups, or None. metrics: By name. recalls: By class.
    """

    column: str
    value: str
    n: int
    groups: int | None
    metrics: Mapping[str, Contrast]
    recalls: Mapping[str, Contrast]

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        facts = {"column": self.column, "value": self.value, "n": self.n, "groups": self.groups}
        metrics, recalls = ({name: each.to_dict() for name, each in own.items()} for own in (self.metrics, self.recalls))
        return {**facts, "metrics": metrics, "recalls": recalls}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError, ValueError or AttributeError where it is something else."""
        metrics, recalls = (
            {name: Contrast.from_dict(each) for name, each in content[key].items()} for key in ("metrics", "recalls")
        )
        return cls(content["column"], content["value"], int(content["n"]), content["groups"], metrics, recalls)
