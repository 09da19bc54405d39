"""The section on subgroups: who is in them, how well the model does there, and the differences from all other images."""

import math
from collections.abc import Sequence

from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.contents import Contents
from balanced_mixup.report.document import Block, Table, Text
from balanced_mixup.report.words import interval, signed_interval
from balanced_mixup.runs.subgroups import Subgroup
from balanced_mixup.statistics.interval import Interval, warnings_of


def subgroup_view(run: Contents) -> list[Block]:
    """Return the scores of each subgroup. UsageError where there are none."""
    if run.evaluation is None or not run.evaluation.subgroups:
        raise UsageError("No columns of subgroups were named.")
    found = run.evaluation.subgroups
    differences = [each.difference for own in found for each in (*own.metrics.values(), *own.recalls.values())]
    shown = sum(not math.isnan(each.low) for each in differences)
    scores = [each.score for own in found for each in (*own.metrics.values(), *own.recalls.values())]
    return [
        Text(
            "Each subgroup against all other scored images. A mean over classes is compared only where both have images of the "
            f"same classes. {shown:,} differences were computed, and their intervals are not corrected for that: about one in "
            "20 excludes 0 by chance alone."
        ),
        _means(found),
        _recalls(found),
        *map(Text, warnings_of([*scores, *differences])),
    ]


def _means(found: Sequence[Subgroup]) -> Table:
    names = list(found[0].metrics)
    header = ["column", "value", "images", *(["groups"] if found[0].groups is not None else [])]
    header += [heading for name in names for heading in (METRICS[name].label, "difference")]
    rows = []
    for each in found:
        sizes = [f"{each.n:,}", *([] if each.groups is None else [f"{each.groups:,}"])]
        cells = [text for name in names for text in _pair(each.metrics[name].score, each.metrics[name].difference)]
        rows.append([each.column, each.value, *sizes, *cells])
    return Table("Scores of each subgroup, and their differences from the others [95% interval].", header, rows, words=2)


def _recalls(found: Sequence[Subgroup]) -> Table:
    rows = [
        [each.column, each.value, name, *_pair(own.score, own.difference)]
        for each in found
        for name, own in each.recalls.items()
    ]
    caption = "Recall of each class in each subgroup, and its difference from the others [95% interval]"
    return Table(caption, ["column", "value", "class", "recall", "difference"], rows, words=3, collapsed=True)


def _pair(score: Interval, difference: Interval) -> list[str]:
    """Return a score and its difference; a dash for a score of few images without an interval, which would look certain."""
    bare = score.warning is not None and not score.low < score.high
    return ["–" if bare else interval(score), signed_interval(difference)]
