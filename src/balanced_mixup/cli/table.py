"""`bmixup table`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from balanced_mixup.cli.console import Console


def table(
    benchmark: Path,
    /,
    *,
    metrics: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    baseline: str | None = None,
    margin: float | None = None,
    form: Annotated[Literal["md", "latex", "csv", "runs"], Parameter(name="--format")] = "md",
    out: Path | None = None,
) -> None:
    """Show the results of a benchmark in the layout of the paper's tables.

    For each method the mean with its 95 % interval, marked where it is the best (*), equivalent to the best (=) or cannot be
    told from it with these data (?); its difference to the baseline with interval and p-value (corrected resampled t-test over
    folds; on a single test split over trainings and images, from two seeds on; Holm's correction for several methods); how
    probable it is that it is better, equivalent or worse, and the smallest difference that could be found; mean ranks over
    data sets. Also works while the benchmark is running.

    Parameters
    ----------
    benchmark
        Folder of the benchmark.
    metrics
        Scores to show (`bmixup list metrics`); those of the plan, or the paper's, if not given.
    baseline
        Label of the method to compare with; that of the plan if not given.
    margin
        Methods whose scores differ by at most this many percentage points are equivalent; that of the plan, or 1, if not given.
    form
        md, latex (booktabs); csv: every number of the tables; runs: the scores of every run as CSV.
    out
        Output file; standard output if not given.
    """
    from balanced_mixup.benchmark.results import read_results
    from balanced_mixup.benchmark.tables import make_tables
    from balanced_mixup.files import write_text

    names = tuple(name for text in metrics for name in text.split(","))
    text = make_tables(read_results(benchmark, baseline, margin), names, form)
    if out is None:
        print(text)
        return
    write_text(out, text + "\n")
    Console().print(f"Written to {out}", soft_wrap=True, highlight=False, markup=False)
