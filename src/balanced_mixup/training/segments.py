"""The stages of a method in the order in which they are trained, by the optimiser that they share."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import UsageError
from balanced_mixup.methods import Method, Stage, TrainSet
from balanced_mixup.methods.deferral import Deferral, deferred

if TYPE_CHECKING:
    from balanced_mixup.heads import Head


@dataclass(frozen=True)
class Segment:
    """Stages that share an optimiser and a schedule; a training is a sequence of segments.

    Args:
        stages: Each with the number of its first epoch, counted from 0 over the whole training.
        end: The number of the epoch after the last.
        head: The head on top of the features.
        keeps: Which epoch of the last stage is kept.
        finished_by: Base methods whose `finish` changes the model at the end of the segment.
    """

    stages: tuple[tuple[int, Stage], ...]
    end: int
    head: "Head"
    keeps: Literal["best", "last"]
    finished_by: tuple[Method, ...] = ()

    @property
    def start(self) -> int:
        """Number of the first epoch."""
        return self.stages[0][0]

    @property
    def last_start(self) -> int:
        """Number of the first epoch of the last stage."""
        return self.stages[-1][0]

    @property
    def trains_head(self) -> bool:
        """Whether the head alone is trained."""
        return self.stages[0][1].trains != "all"

    @property
    def trains_scales(self) -> bool:
        """Whether of the head only a factor for each class is trained."""
        return self.stages[0][1].trains == "scales"

    @property
    def new_head(self) -> bool:
        """Whether the head is reinitialised."""
        return self.stages[0][1].new_head

    def stage_at(self, epoch: int) -> Stage:
        """Return the stage of an epoch, numbered over the whole training."""
        return next(stage for first, stage in reversed(self.stages) if first <= epoch)

    def class_prior(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the class prior (K,) that its last stage induces, given the training images of each class (K,)."""
        return self.stages[-1][1].class_prior(counts, range(self.last_start, self.end))


def segments_of(method: Method, data: TrainSet, *, head_only: bool = False) -> tuple[Segment, ...]:
    """Return the segments of a method in the order of training; those of its base come first.

    Args:
        method: The method.
        data: The training images.
        head_only: All stages train the head alone.

    Raises:
        UsageError: The method trains nothing, continues with the head of a base that has another kind of head, or mixes what
            cannot train the head alone.
    """
    base = method.base()
    found = [] if base is None else list(segments_of(base, data, head_only=head_only))
    if base is not None and base.finishes:
        found[-1] = replace(found[-1], finished_by=(*found[-1].finished_by, base))
    begin = start = position = found[-1].end if found else 0
    shares = 0.0
    groups: list[list[tuple[int, Stage]]] = []
    ends: list[int] = []
    for own in method.stages(data):
        stage = replace(own, trains="head") if head_only and own.trains == "all" else own
        first = position
        if stage.epochs is not None:
            start, shares = first + stage.epochs, 0.0
        else:
            shares += stage.share  # shares are rounded together, so that stages have the epochs of the recipe between them
        position = max(first + 1, start + round(shares * data.epochs))
        if groups and stage.continues and stage.trains == groups[-1][-1][1].trains:
            groups[-1].append((first, stage))
            ends[-1] = position
        else:
            groups.append([(first, stage)])
            ends.append(position)
    if method.defer is not None:
        defer_at = begin + min(round(method.defer_from * (position - begin)), position - begin - 1)
        groups = [_with_deferral(group, end, defer_at, method.defer, data) for group, end in zip(groups, ends, strict=True)]
    if base is not None and method.head() != base.head() and not (groups and groups[0][0][1].new_head):
        raise UsageError(f"The method {method.name} has another head than {base.name}: its first stage needs `new_head`.")
    found += [Segment(tuple(stages), end, method.head(), method.keeps) for stages, end in zip(groups, ends, strict=True)]
    if not found:
        raise UsageError(f"The method {method.name} has neither stages nor a base: it trains nothing.")
    return tuple(found)


def ends_on_features(method: Method, data: TrainSet) -> bool:
    """Return whether the last that a method does is to change the head alone, on features of the images."""
    return method.finishes or segments_of(method, data)[-1].trains_head


def _with_deferral(
    stages: list[tuple[int, Stage]], end: int, defer_at: int, kind: Deferral, data: TrainSet
) -> list[tuple[int, Stage]]:
    """Return stages, each with its first epoch, of which those from epoch `defer_at` on are deferred; one may be cut in two."""
    found = []
    firsts = [first for first, _ in stages]
    for (first, stage), following in zip(stages, [*firsts[1:], end], strict=True):
        if first < defer_at:
            found.append((first, stage))
        if following > defer_at:
            epochs = range(max(first, defer_at), following)
            found.append((epochs.start, deferred(stage, kind, data, epochs)))
    return found


def check_classes(method: Method, *, ordinal: bool) -> None:
    """Raise UsageError where a method is for ordinal classes alone, and those of the data are not."""
    if method.head().ordinal and not ordinal:
        raise UsageError(
            f"The method {method.name} is for grades, but the classes of these data have no order. If they have one, say so "
            "with `--ordinal` (`ordinal: true` in a plan), else choose another method."
        )


def first_method(method: Method) -> Method:
    """Return the method that training begins with: the innermost base."""
    base = method.base()
    return method if base is None else first_method(base)
