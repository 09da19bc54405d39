"""The record of a choice: what was tried, what it cost, what was dropped when, and the answer; `choice.json`.

It is written after every step, so that a choice that was killed goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from balanced_mixup.errors import UsageError
from balanced_mixup.runs.formats import Format, damaged, read_file, write_file

FILE = "choice.json"
_FORMAT = Format()

Fate = Literal["finished", "dropped", "out of time", "failed"]


@dataclass(frozen=True)
class Screened:
    """The score of a row of the screening: the mean over inner folds, on frozen features.

    label: Of the row, such as "instance, uniform prior". method: That was trained. folds: Number of folds in the mean. seconds:
    Of a training, on average, without the features.
    """

    label: str
    method: str
    score: float
    folds: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A full training on the first inner fold.

    Args:
        method: Its method.
        fate: How it ended; "dropped" by successive halving.
        path: (seconds, validation score) after each epoch.
        scores: On the images of the fold that no training of it has seen, by label: of the method, and corrected.
        seconds: In all.
        reason: Why it failed.
    """

    method: str
    fate: Fate
    path: tuple[tuple[float, float], ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Rival:
    """A candidate against the best on the first inner fold: best less candidate, with the interval over the images (95 %)."""

    label: str
    difference: float
    low: float
    high: float

    @property
    def inseparable(self) -> bool:
        """Whether the difference from the best can be chance."""
        return not (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class HeldOut:
    """The score of a candidate on the held-out part, and its difference from plain training, with 95 % intervals."""

    label: str
    score: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True)
class Choice:
    """What has been found so far; everything is when `winner` is set.

    Args:
        settings: Everything that the choice depends on, except for the budget.
        metric: The score that chooses.
        budget: Seconds.
        images: Images of the training part, of an inner fold's training, and of the held-out part.
        spent: Seconds so far.
        screened: Best first.
        unscreened: Methods that could not be screened, with the reason.
        epochs: Of each full training; fixed once the screening is finished.
        order: The methods to train in full, in that order.
        trials: Those that have ended, in that order.
        rivals: All candidates that were trained in full against the best of them; the best itself has a difference of 0.
        winner: Label of the answer.
        held_out: The winner, plain training, and plain training corrected, on images that took no part in the choice.
        stages: Seconds spent on each part.
    """

    settings: Mapping[str, Any]
    metric: str
    budget: float
    images: Mapping[str, int] = field(default_factory=dict)
    spent: float = 0.0
    screened: tuple[Screened, ...] = ()
    unscreened: Mapping[str, str] = field(default_factory=dict)
    epochs: int = 0
    order: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    rivals: tuple[Rival, ...] = ()
    winner: str = ""
    held_out: tuple[HeldOut, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it to its folder."""
        write_file(folder / FILE, asdict(self), _FORMAT)

    @classmethod
    def read(cls, folder: Path) -> "Choice":
        """Return the choice in a folder.

        Raises:
            UsageError: There is none, or its file is damaged.
        """
        file = folder / FILE
        if not file.is_file():
            raise UsageError(f"Expected {str(folder)!r} to be the folder of a choice, but it has no {FILE}.")
        content = {name: value for name, value in read_file(file, _FORMAT).items() if name != "format"}
        try:
            return cls(
                **{
                    **content,
                    "screened": tuple(Screened(**each) for each in content["screened"]),
                    "order": tuple(content["order"]),
                    "trials": tuple(Trial(**{**each, "path": tuple(map(tuple, each["path"]))}) for each in content["trials"]),
                    "rivals": tuple(Rival(**each) for each in content["rivals"]),
                    "held_out": tuple(HeldOut(**each) for each in content["held_out"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(file, error) from None

    @property
    def inseparable(self) -> list[str]:
        """The labels that cannot be told from the best, it included."""
        return [rival.label for rival in self.rivals if rival.inseparable]

    @property
    def method(self) -> str:
        """The method of the winner."""
        return method_of(self.winner)


def method_of(label: str) -> str:
    """Return the method of a label: "instance" of "instance, uniform prior"."""
    return label.partition(",")[0]
