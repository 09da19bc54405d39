"""The tables of a benchmark as text in rows and columns: scores, differences to a baseline, probabilities, ranks."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from balanced_mixup.benchmark.collapses import MARK, Place, marked
from balanced_mixup.benchmark.results import Results
from balanced_mixup.benchmark.summary import EQUIVALENT, LEVEL, MethodSummary, Standing, mean_ranks
from balanced_mixup.metrics import METRICS
from balanced_mixup.statistics.detectable_difference import POWER
from balanced_mixup.words import p_value, percentage

MARKS: Mapping[Standing, str] = {"best": "*", "equivalent": "=", "undecided": "?"}
TWO_MODELS = (
    "with one training each, differences are those of these two trained models, not of two methods: no p-value and no mark "
    "(give the plan several `seeds`)"
)
_SAME = 1e-9  # smaller differences of scores are rounding errors
_FEWER_FOLDS = "(n of m): over n of the m folds, as the score is undefined or missing in the others"


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Args:
        title: What it shows.
        header: Column headings, the first above the row names.
        rows: Cells, as many per row as the header has.
        note: Caption.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def grids(results: Results, summaries: Sequence[MethodSummary]) -> list[Grid]:
    """Return the scores of each data set, how they compare with the baseline, and mean ranks where there are several."""
    tables = []
    collapsed = marked(results)
    for data in dict.fromkeys(summary.data for summary in summaries):
        own = [summary for summary in summaries if summary.data == data]
        tables.append(score_grid(data, own, results.margin, collapsed))
        if any(summary.method == results.baseline for summary in own) and len({summary.method for summary in own}) > 1:
            tables += difference_grids(data, own, results.baseline, results.margin)
    places = {(summary.data, summary.backbone) for summary in summaries}
    if len({summary.method for summary in summaries}) > 1 and len(places) > 1:
        tables.append(rank_grid(summaries))
    return tables


def score_grid(data: str, summaries: Sequence[MethodSummary], margin: float, collapsed: Collection[Place] = ()) -> Grid:
    """Return the scores, in per cent as in the paper, with marks of their standing and of `collapsed` methods."""
    note = f"{meaning(summaries)}, per cent."
    if any(summary.standing in MARKS for summary in summaries):
        note += (
            f" {MARKS['best']}: the best mean. {MARKS['equivalent']}: equivalent to it: the two differ by at most "
            f"{_points(margin)} with a probability of {100 * EQUIVALENT:.0f} %. {MARKS['undecided']}: not enough data to say. "
            f"No mark: significantly worse ({100 * LEVEL:.0f} %, Holm){_unmarked(summaries)}."
        )

    def cell(summary: MethodSummary) -> str:
        failed = (data, summary.backbone, summary.method) in collapsed and not np.isnan(summary.mean.mean)
        return score_cell(summary) + MARKS.get(summary.standing, "") + MARK * failed

    if any(place[0] == data for place in collapsed):
        note += f" {MARK}: some runs predict one class only or are not better than chance, see the notes."
    return _grid(f"Scores on {data}", "method", summaries, cell, note)


def _points(margin: float) -> str:
    return f"{100 * margin:g} point" + ("" if margin == 0.01 else "s")


def _unmarked(summaries: Sequence[MethodSummary]) -> str:
    """Return what else has no mark."""
    standings = {summary.standing for summary in summaries}
    others = [
        "the same score in every fold or training, as collapsed models have" if "tied" in standings else "",
        "not tested" if "untested" in standings else "",
    ]
    return "".join(f", or {other}" for other in others if other)


def score_cell(summary: MethodSummary) -> str:
    """Return "61.2 [58.0, 64.9]", per cent; see `meaning`."""
    mean = summary.mean
    if np.isnan(mean.mean):
        return "–"
    # Collapsed models have the same score everywhere: an interval of width 0 would look like certainty.
    low, high = max(mean.low, METRICS[summary.metric].lowest), min(mean.high, 1.0)
    interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if mean.high - mean.low > _SAME else ""
    return f"{100 * mean.mean:.1f}{interval}{over(summary, summary.folds)}"


def over(summary: MethodSummary, folds: int) -> str:
    """Return " (3 of 5)" for a number that is not over all divisions."""
    return f" ({folds} of {summary.divisions})" if summary.in_folds and folds < summary.divisions else ""


def meaning(summaries: Sequence[MethodSummary]) -> str:
    """Describe the cells with the scores of these summaries."""
    if summaries[0].in_folds:
        most = summaries[0].divisions
        fewer = any(0 < summary.folds < most for summary in summaries)
        return f"Mean over {most} folds [95 % interval]" + (f"; {_FEWER_FOLDS}" if fewer else "")
    trainings = [summary.trainings for summary in summaries if summary.trainings]
    most, least = max(trainings, default=1), min(trainings, default=1)
    if most == 1:
        return f"Score of one training on the test split [95 % bootstrap interval over its images]; {TWO_MODELS}"
    count = f"{most}" if least == most else f"{least} to {most}"
    text = f"Mean of {count} trainings on the test split [95 % interval over trainings and images]"
    return text if least > 1 else f"{text}, of one training over the images alone; {TWO_MODELS}"


def difference_grids(data: str, summaries: Sequence[MethodSummary], baseline: str, margin: float) -> list[Grid]:
    """Return the differences to the baseline, and where they can be tested how probable it is that they matter."""
    others = [summary for summary in summaries if summary.method != baseline]
    tested = any(summary.difference.error is not None for summary in others)
    tables = [difference_grid(data, summaries, baseline)]
    return [*tables, chance_grid(data, summaries, baseline, margin)] if tested else tables


def difference_grid(data: str, summaries: Sequence[MethodSummary], baseline: str) -> Grid:
    """Return the differences to the baseline, in percentage points."""
    others = [summary for summary in summaries if summary.method != baseline]
    test = "corrected resampled t-test"
    if not summaries[0].in_folds:
        test = "over trainings and images (two-way)"
        if any(of_two_models(summary) for summary in others):
            tested = any(summary.difference.error is not None for summary in others)
            test = f"{test}; {TWO_MODELS}" if tested else f"over the images alone (paired bootstrap); {TWO_MODELS}"
    note = f"Mean difference [95 % interval], percentage points, and p after Holm's correction; {test}."
    if any(summary.identical for summary in others):
        note += " Identical: the same score in every fold or training, so nothing is compared."
    if any(over(summary, summary.pairs) for summary in others if summary.pairs):
        note += f" {_FEWER_FOLDS}."
    return _grid(f"Difference to {baseline} on {data}", "method", others, difference_cell, note)


def of_two_models(summary: MethodSummary) -> bool:
    """Return whether the difference to the baseline is that of trained models, as one of the two has a single training."""
    defined = not np.isnan(summary.difference.mean)
    return defined and not summary.in_folds and not summary.identical and summary.difference.error is None


def difference_cell(summary: MethodSummary) -> str:
    """Return "+1.2 [-0.5, 2.9] p=0.31"."""
    difference, p = summary.difference, summary.p_corrected
    if summary.identical:
        return "identical"
    if np.isnan(difference.mean):
        return "–"
    interval = "" if np.isnan(difference.low) else f" [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"
    test = "" if np.isnan(p) else f" p{p_value(p)}" if p < 0.001 else f" p={p_value(p)}"
    return f"{100 * difference.mean:+.1f}{interval}{test}{over(summary, summary.pairs)}"


def chance_grid(data: str, summaries: Sequence[MethodSummary], baseline: str, margin: float) -> Grid:
    """Return how probable it is that a method is better than the baseline, equivalent or worse, and what could be detected."""
    others = [summary for summary in summaries if summary.method != baseline]
    test = "Bayesian correlated t-test" if summaries[0].in_folds else "from the same distribution as the intervals"
    note = (
        f"Probability, per cent, that the method is better than {baseline} by more than {_points(margin)} / equivalent to it / "
        f"worse by more than that ({test}); then the smallest true difference, in percentage points, that this comparison "
        f"finds in {100 * POWER:.0f} % of experiments ({100 * LEVEL:.0f} %, before Holm's correction)."
    )
    return _grid(f"Probabilities against {baseline} on {data}", "method", others, chance_cell, note)


def chance_cell(summary: MethodSummary) -> str:
    """Return "62 / 30 / 8, 2.9"."""
    if summary.identical or np.isnan(summary.detectable):
        return "–"
    found = summary.chances
    shares = " / ".join(map(percentage, (found.better, found.equivalent, found.worse)))
    return f"{shares}, {100 * summary.detectable:.1f}"


def rank_grid(summaries: Sequence[MethodSummary]) -> Grid:
    """Return the mean rank of each method."""
    ranks = mean_ranks(summaries)
    counts = {len({(each.data, each.backbone) for each in summaries if each.metric == name}) for name in ranks.columns}
    places = " to ".join(map(str, sorted({min(counts), max(counts)})))
    rows = tuple(
        (str(method), *("–" if np.isnan(rank) else f"{rank:.1f}" for rank in row))
        for method, row in zip(ranks.index, ranks.to_numpy(), strict=True)
    )
    header = ("method", *(METRICS[name].label for name in ranks.columns))
    return Grid("Mean ranks", header, rows, f"1 is best; over {places} combinations of data set and backbone.")


def _grid(title: str, corner: str, summaries: Sequence[MethodSummary], cell: Callable[[MethodSummary], str], note: str) -> Grid:
    columns = list(dict.fromkeys((summary.backbone, summary.metric) for summary in summaries))
    several = len({backbone for backbone, _ in columns}) > 1
    header = (f"{METRICS[metric].label}, {backbone}" if several else METRICS[metric].label for backbone, metric in columns)
    cells: Mapping[tuple[str, str, str], str] = {
        (summary.method, summary.backbone, summary.metric): cell(summary) for summary in summaries
    }
    rows = tuple(
        (method, *(cells.get((method, *column), "–") for column in columns))
        for method in dict.fromkeys(summary.method for summary in summaries)
    )
    return Grid(title, (corner, *header), rows, note)
