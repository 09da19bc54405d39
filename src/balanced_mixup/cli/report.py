"""`bmixup report`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from balanced_mixup.cli.console import Console


def report(
    path: Path,
    /,
    *,
    out: Path | None = None,
    form: Annotated[Literal["html", "pdf", "md"] | None, Parameter(name="--format")] = None,
    runs: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a report of a run, of an evaluation, or of a benchmark.

    For a run: recall of the rare classes, the splits and what was left out, the training images, scores with intervals, the
    confusion matrix, ROC and precision-recall curves, calibration, net benefit, and the most confident errors with Grad-CAM
    maps. For an evaluation with --subgroup-columns also its subgroups. For a benchmark: its tables, paired
    differences, ranks, recall by class size, and cost.

    An HTML report is a single file that needs no network. The figures are written next to it, each as SVG, PNG and CSV with its
    numbers. A damaged or unfinished run has a report too, which lists what is missing.

    Parameters
    ----------
    path
        Folder of a run (runs/mine), of an evaluation (runs/mine/evaluations/other-all) or of a benchmark.
    out
        Output file; report.html (.pdf, .md) in that folder if not given.
    form
        html, pdf (A4; needs WeasyPrint or Chromium) or md; if not given the suffix of --out, or html.
    runs
        Of a benchmark: also write report.html of every finished run, and link to it.
    """
    from balanced_mixup.report.write import write_report

    Console().print(f"Report: {write_report(path, out, form, runs=runs)}", soft_wrap=True, highlight=False, markup=False)


def write_final_report(path: Path) -> None:
    """Write the report of a finished command; a failure is printed, not raised."""
    from balanced_mixup.errors import BalancedMixupError
    from balanced_mixup.report.write import write_report

    try:
        text = f"Report: {write_report(path)}"
    except BalancedMixupError as error:
        text = f"The report could not be written: {error}"
    Console(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)
