"""The section on subgroups: who is in them, how well the model does there, and the differences from all other images."""

import math
from collections import Counter
from collections.abc import Sequence

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.contents import Contents
from balanced_mixup.report.document import Block, Table, Text
from balanced_mixup.report.words import interval, signed_interval
from balanced_mixup.runs.subgroups import Contrast, Subgroup, classes_of
from balanced_mixup.statistics.interval import warnings_of
from balanced_mixup.words import counted


def subgroup_view(run: Contents) -> list[Block]:
    """Return the scores of each subgroup. UsageError where there are none."""
    if run.evaluation is None or not run.evaluation.subgroups:
        raise UsageError("No columns of subgroups were named.")
    found = run.evaluation.subgroups
    scores = [score for own in found for each in _contrasts(own) for score in (each.score, each.difference)]
    return [
        Text(
            "Each subgroup against all other scored images. A mean over classes is over those that the subgroup has images of; "
            "where a difficult class is missing, it can be higher than over all images. So it is compared only where both have "
            f"images of the same classes. {_computed(_different(found))} computed, and the intervals are not "
            "corrected for that: about one in 20 excludes 0 by chance alone. Many numbers are cut at their quartiles."
        ),
        _means(found),
        _recalls(found),
        *map(Text, warnings_of(scores)),
    ]


def _contrasts(subgroup: Subgroup) -> list[Contrast]:
    return [*subgroup.metrics.values(), *subgroup.recalls.values()]


def _computed(number: int) -> str:
    return counted(number, "difference") + (" was" if number == 1 else " were")


def _different(found: Sequence[Subgroup]) -> int:
    """Return the number of differences with an interval; of a column of two values each is shown twice, and counts once."""
    values = Counter(each.column for each in found)
    counts: Counter[str] = Counter()
    for own in found:
        counts[own.column] += sum(not math.isnan(each.difference.low) for each in _contrasts(own))
    return sum(number // 2 if values[column] == 2 else number for column, number in counts.items())


def _means(found: Sequence[Subgroup]) -> Table:
    names = list(found[0].metrics)
    header = ["column", "value", "images", *(["groups"] if found[0].groups is not None else []), "classes"]
    header += [heading for name in names for heading in (METRICS[name].label, "difference")]
    rows = []
    for each, classes in zip(found, classes_of(found), strict=True):
        sizes = [f"{each.n:,}", *([] if each.groups is None else [f"{each.groups:,}"]), classes]
        cells = [text for name in names for text in _pair(each.metrics[name])]
        rows.append([each.column, each.value, *sizes, *cells])
    return Table(
        "Scores of each subgroup, and their differences from the others [95% interval]. –: cannot be known.",
        header,
        rows,
        words=2,
    )


def _recalls(found: Sequence[Subgroup]) -> Table:
    rows = [
        [
            each.column,
            each.value,
            name,
            f"{each.support[name]:,}" if name in each.support else "–",
            *_pair(own),
        ]
        for each in found
        for name, own in each.recalls.items()
        if each.support.get(name) != 0
    ]
    caption = "Recall of each class that a subgroup has images of, and its difference from the others [95% interval]"
    return Table(caption, ["column", "value", "class", "images", "recall", "difference"], rows, words=3, collapsed=True)


def _pair(contrast: Contrast) -> list[str]:
    return ["–" if contrast.bare else interval(contrast.score), signed_interval(contrast.difference)]
