"""Scores of subgroups of the scored images: women and men, each site, bands of age."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from balanced_mixup.statistics.interval import Interval


@dataclass(frozen=True)
class Contrast:
    """A score of a subgroup, and its difference from that of all other images; NaN where undefined."""

    score: Interval
    difference: Interval

    @property
    def bare(self) -> bool:
        """Whether the score is of few images and has no interval: it would look certain, and a dash is shown in its place."""
        return self.score.warning is not None and not self.score.low < self.score.high

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

    n: Number of images. groups: Number of groups, or None. metrics: By name. recalls: By class. support: Images of each class;
    empty where an earlier version did not store them.
    """

    column: str
    value: str
    n: int
    groups: int | None
    metrics: Mapping[str, Contrast]
    recalls: Mapping[str, Contrast]
    support: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        facts = {"column": self.column, "value": self.value, "n": self.n, "groups": self.groups}
        metrics, recalls = ({name: each.to_dict() for name, each in own.items()} for own in (self.metrics, self.recalls))
        return {**facts, "support": dict(self.support), "metrics": metrics, "recalls": recalls}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned. KeyError, TypeError, ValueError or AttributeError where it is something else."""
        metrics, recalls = (
            {name: Contrast.from_dict(each) for name, each in content[key].items()} for key in ("metrics", "recalls")
        )
        support = {name: int(images) for name, images in content.get("support", {}).items()}
        return cls(content["column"], content["value"], int(content["n"]), content["groups"], metrics, recalls, support)


def classes_of(subgroups: Iterable[Subgroup]) -> list[str]:
    """Return over how many of the classes the means of each subgroup are, "5 of 7"; "–" where it is not stored."""
    own = [{name for name, images in each.support.items() if images} for each in subgroups]
    everything = len(set().union(*own))
    return [f"{len(names)} of {everything}" if names else "–" for names in own]
