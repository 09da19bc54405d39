"""The tables of a benchmark in the layout of the paper's: methods down, backbones and metrics across."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.collapses import MARK, Place, collapse_notes, marked
from balanced_mixup.benchmark.results import Results, read_results
from balanced_mixup.benchmark.summary import LEVEL, MethodSummary, long_table, mean_ranks, summarise
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.metrics import METRICS
from balanced_mixup.table_files import csv_text

Format = Literal["md", "latex", "csv", "runs"]

ORDINAL_METRICS = ("quadratic_kappa", "mcc", "kendall_tau")  # Table 1
NOMINAL_METRICS = ("mcc", "balanced_accuracy", "macro_f1")  # Table 3, with the balanced accuracy
_MARK = "="
_ONE_TRAINING = "intervals are over its images alone and do not include the variation between trainings"
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


def table(
    benchmark: Path | str, metrics: Sequence[str] = (), *, baseline: str | None = None, form: Format | None = None
) -> pd.DataFrame | str:
    """Return the results of a benchmark. This is `bmixup table`.

        table("runs/plan", ["mcc"]).query("among_best")
        print(table("runs/plan", form="md"))

    Args:
        benchmark: Its folder; it may still be running.
        metrics: Names of metrics; those of the plan, or the paper's, if empty.
        baseline: Label of the method to compare with; that of the plan if not given.
        form: As for `make_tables`, which returns text; a data frame if not given.

    Returns:
        A row for each data set, backbone, metric and method, with all numbers of the tables (`MethodSummary`); or text.

    Raises:
        UsageError: It is no folder of a benchmark, has no finished run yet, or there is no such metric or method.
    """
    results = read_results(benchmark, baseline)
    if form is not None:
        return make_tables(results, tuple(metrics), form)
    return long_table(summarise(results, metrics_of(results, _known(metrics))))


def _known(metrics: Sequence[str]) -> Sequence[str]:
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"Expected a metric among {', '.join(METRICS)}, but got {name!r}.{nearest(name, METRICS)}")
    return metrics


def make_tables(results: Results, metrics: Sequence[str], form: Format) -> str:
    """Return the tables of a benchmark as text.

    Args:
        results: Of the benchmark.
        metrics: Names of metrics; those of the plan, or the paper's, if empty.
        form: "md" and "latex" give the tables, "csv" all their numbers in one long table, "runs" the scores of every run.

    Raises:
        UsageError: There is no metric of that name.
    """
    if form == "runs":
        return csv_text(results.scores.drop(columns=["scored", "predictions"]))
    return render(results, summarise(results, metrics_of(results, _known(metrics))), form)


def render(results: Results, summaries: Sequence[MethodSummary], form: Literal["md", "latex", "csv"]) -> str:
    """Return the tables of these summaries as text, or all their numbers in one long table."""
    if form == "csv":
        return csv_text(long_table(summaries))
    text = markdown if form == "md" else latex
    remark = "" if form == "md" else "% "
    return "\n".join([*(text(grid) for grid in grids(results, summaries)), *(remark + note for note in notes(results))])


def metrics_of(results: Results, metrics: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the metrics of each data set: those given, those of the plan, or those of the paper's tables.

    Of several metrics, those for ordinal classes are left out where the classes have no order.
    """
    chosen = tuple(metrics) or results.metrics
    nominal = tuple(name for name in chosen if not METRICS[name].ordinal) or chosen or NOMINAL_METRICS
    ordinal = chosen or ORDINAL_METRICS
    return {str(data): ordinal if data in results.ordinal else nominal for data in results.scores["data"].unique()}


def grids(results: Results, summaries: Sequence[MethodSummary]) -> list[Grid]:
    """Return the scores of each data set, the differences to the baseline, and the mean ranks where there is more than one."""
    tables = []
    collapsed = marked(results)
    for data in dict.fromkeys(summary.data for summary in summaries):
        own = [summary for summary in summaries if summary.data == data]
        tables.append(score_grid(data, own, collapsed))
        if any(summary.method == results.baseline for summary in own) and len({summary.method for summary in own}) > 1:
            tables.append(difference_grid(data, own, results.baseline))
    places = {(summary.data, summary.backbone) for summary in summaries}
    if len({summary.method for summary in summaries}) > 1 and len(places) > 1:
        tables.append(rank_grid(summaries))
    return tables


def score_grid(data: str, summaries: Sequence[MethodSummary], collapsed: Collection[Place] = ()) -> Grid:
    """Return the scores, in per cent as in the paper; those of `collapsed` methods are marked."""
    note = (
        f"{meaning(summaries)}, per cent. {_MARK}: the best mean, or not significantly different from the method that has it "
        f"({100 * LEVEL:.0f} %, Holm)."
    )

    def cell(summary: MethodSummary) -> str:
        # One fold allows no claim of being among the best.
        best = summary.among_best and not np.isnan(summary.mean.low)
        failed = (data, summary.backbone, summary.method) in collapsed and not np.isnan(summary.mean.mean)
        return score_cell(summary) + _MARK * best + MARK * failed

    if any(place[0] == data for place in collapsed):
        note += f" {MARK}: some runs predict one class only or are not better than chance, see the notes."
    return _grid(f"Scores on {data}", "method", summaries, cell, note)


def score_cell(summary: MethodSummary) -> str:
    """Return "61.2 [58.0, 64.9]", per cent; see `meaning`."""
    if np.isnan(summary.mean.mean):
        return "–"
    value = summary.median if summary.in_folds else summary.mean.mean
    low, high = (summary.lowest, summary.highest) if summary.in_folds else (summary.mean.low, summary.mean.high)
    alone = np.isnan(low) or (summary.in_folds and summary.folds == 1)
    return f"{100 * value:.1f}" + ("" if alone else f" [{100 * low:.1f}, {100 * high:.1f}]") + _over(summary, summary.folds)


def _over(summary: MethodSummary, folds: int) -> str:
    """Return " (3 of 5)" for a number that is not over all divisions."""
    return f" ({folds} of {summary.divisions})" if summary.in_folds and folds < summary.divisions else ""


def meaning(summaries: Sequence[MethodSummary]) -> str:
    """Describe the cells with the scores of these summaries."""
    if not summaries[0].in_folds:
        return f"Score on the test split [95 % bootstrap interval]; {_ONE_TRAINING}"
    most = summaries[0].divisions
    fewer = any(0 < summary.folds < most for summary in summaries)
    return f"Median over {most} folds [lowest, highest]" + (f"; {_FEWER_FOLDS}" if fewer else "")


def difference_grid(data: str, summaries: Sequence[MethodSummary], baseline: str) -> Grid:
    """Return the differences to the baseline, in percentage points."""
    others = [summary for summary in summaries if summary.method != baseline]
    test = "corrected resampled t-test" if summaries[0].in_folds else f"paired bootstrap, {_ONE_TRAINING}"
    note = f"Mean difference [95 % interval], percentage points, and p after Holm's correction; {test}."
    if any(_over(summary, summary.pairs) for summary in others if summary.pairs):
        note += f" {_FEWER_FOLDS}."
    return _grid(f"Difference to {baseline} on {data}", "method", others, difference_cell, note)


def difference_cell(summary: MethodSummary) -> str:
    """Return "+1.2 [-0.5, 2.9] p=0.31"."""
    difference, p = summary.difference, summary.p_corrected
    if np.isnan(difference.mean):
        return "–"
    interval = "" if np.isnan(difference.low) else f" [{100 * difference.low:.1f}, {100 * difference.high:.1f}]"
    test = "" if np.isnan(p) else f" p{_p(p)}"
    return f"{100 * difference.mean:+.1f}{interval}{test}{_over(summary, summary.pairs)}"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"={p:.3f}" if p < 0.01 else f"={p:.2f}"


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


def notes(results: Results) -> list[str]:
    """Return the caveats: the protocol, runs that are missing, collapsed or failed."""
    lines = []
    if results.protocol == "paper":
        lines.append(
            "Protocol `paper`: in cross-validation the epoch was chosen on the fold that is scored, so scores are optimistic."
        )
    if results.finished < results.planned:
        lines.append(f"{results.finished} of {results.planned} runs are finished; the others are not included.")
    lines += results.remarks
    lines += collapse_notes(results)
    lines += [f"Failed: {title}: {reason.splitlines()[-1]}" for title, reason in results.failed]
    return lines


def markdown(grid: Grid) -> str:
    """Return a grid in Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(grid.header) - 1)
    return "\n".join([f"### {grid.title}", "", line(grid.header), rule, *map(line, grid.rows), "", grid.note, ""])


def latex(grid: Grid) -> str:
    """Return a grid as a LaTeX table (needs the package booktabs)."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(_latex_text, cells)) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_latex_text(grid.title)}. {_latex_text(grid.note)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
            r"\toprule",
            line(grid.header),
            r"\midrule",
            *map(line, grid.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
    "†": r"\dag{}",
}
_LATEX |= {character: "\\" + character for character in "&%$#_{}"}


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
