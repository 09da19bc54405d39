"""The tables of a benchmark in the layout of the paper's: methods down, backbones and metrics across."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from balanced_mixup.benchmark.collapses import collapse_notes
from balanced_mixup.benchmark.costs import cost_grids
from balanced_mixup.benchmark.grids import Grid, grids
from balanced_mixup.benchmark.results import Results, read_results
from balanced_mixup.benchmark.summary import MethodSummary, long_table, summarise
from balanced_mixup.errors import UsageError, nearest
from balanced_mixup.metrics import METRICS
from balanced_mixup.table_files import csv_text
from balanced_mixup.words import listed

Format = Literal["md", "latex", "csv", "runs"]

ORDINAL_METRICS = ("quadratic_kappa", "mcc", "kendall_tau")  # Table 1
NOMINAL_METRICS = ("mcc", "balanced_accuracy", "macro_f1")  # Table 3, with the balanced accuracy


def table(
    benchmark: Path | str,
    metrics: Sequence[str] = (),
    *,
    baseline: str | None = None,
    margin: float | None = None,
    form: Format | None = None,
) -> pd.DataFrame | str:
    """Return the results of a benchmark. This is `bmixup table`.

        table("runs/plan", ["mcc"]).query("standing in ('best', 'equivalent')")
        print(table("runs/plan", form="md"))

    Args:
        benchmark: Its folder; it may still be running.
        metrics: Names of metrics; those of the plan, or the paper's, if empty.
        baseline: Label of the method to compare with; that of the plan if not given.
        margin: Methods that differ by at most this many percentage points are equivalent; that of the plan if not given.
        form: As for `make_tables`, which returns text; a data frame if not given.

    Returns:
        A row for each data set, backbone, metric and method, with all numbers of the tables (`MethodSummary`); or text.

    Raises:
        UsageError: It is no folder of a benchmark, has no finished run yet, there is no such metric or method, or the margin is
            not above 0.
    """
    results = read_results(benchmark, baseline, margin)
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
        return csv_text(results.scores.drop(columns=["scored", "predictions", "run"]))
    return render(results, summarise(results, metrics_of(results, _known(metrics))), form)


def render(results: Results, summaries: Sequence[MethodSummary], form: Literal["md", "latex", "csv"]) -> str:
    """Return the tables of these summaries as text, or all their numbers in one long table."""
    if form == "csv":
        return csv_text(long_table(summaries))
    text = markdown if form == "md" else latex
    remark = "" if form == "md" else "% "
    tables = (*grids(results, summaries), *cost_grids(results))
    return "\n".join([*map(text, tables), *(remark + note for note in notes(results))])


def metrics_of(results: Results, metrics: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the metrics of each data set: those given, those of the plan, or those of the paper's tables.

    Of several metrics, those for ordinal classes are left out where the classes have no order.
    """
    chosen = tuple(metrics) or results.metrics
    nominal = tuple(name for name in chosen if not METRICS[name].ordinal) or chosen or NOMINAL_METRICS
    ordinal = chosen or ORDINAL_METRICS
    return {str(data): ordinal if data in results.ordinal else nominal for data in results.scores["data"].unique()}


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
    if results.corrected:
        lines.append(
            f"{listed(list(results.corrected))}: the same trainings, their probabilities corrected to that class prior by the "
            "temperature and the prior that were fitted on validation images; nothing is trained for it."
        )
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
