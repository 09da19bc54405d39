"""`bmixup report`: the report of a run or a benchmark as a file, with its figures as separate files."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.choose.record import FILE as CHOICE
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.extras import require
from balanced_mixup.files import write_bytes
from balanced_mixup.progress import progress_bar
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.words import counted

if TYPE_CHECKING:
    from balanced_mixup.report.document import Document

log = logging.getLogger("balanced_mixup")

Format = Literal["html", "pdf", "md"]

_WRITING_SECONDS = 600.0  # at most, in which another process writes the same report


def write_report(path: Path | str, out: Path | str | None = None, form: Format | None = None, *, runs: bool = False) -> Path:
    """Write the report of a run, of an evaluation, or of a benchmark.

        balanced_mixup.report("runs/mine")
        balanced_mixup.report("runs/plan", "plan.pdf")

    Args:
        path: Folder of the run, finished or not, of an evaluation, or of a benchmark.
        out: Output file; report.html, .pdf or .md in the folder if not given. Each figure is written too, as SVG, PNG
            and CSV with its numbers, to a folder named after it: report-figures. Those of an earlier report that this one
            does not have are removed.
        form: The format; if not given the suffix of `out`, or html.
        runs: Of a benchmark: write report.html of every finished run, too, which the report then links to.

    Returns:
        The file.

    Raises:
        UsageError: It is neither a run nor a benchmark, there is no such format, the suffix of the file is that of another one,
            or a package for the format is not installed.
        RunError: The report cannot be written.
    """
    path = Path(path)
    form = _format(out, form)
    target = Path(out) if out is not None else RunFolder(path).own(path / f"report.{form}")
    _kind_of(path)
    require("A report", "report", "matplotlib", *(["jinja2"] if form != "md" or runs else []))
    from balanced_mixup.report.figures import save
    from balanced_mixup.report.pdf import to_pdf

    if runs:
        _write_run_reports(path)
    report = make_report(path, target.resolve().parent)
    figures = RunFolder(target.parent).own(target.with_name(f"{target.stem}-figures"))
    try:
        with locked(figures, wait=_WRITING_SECONDS):
            for chart in report.charts():
                save(chart.drawing, figures / chart.name)
            page = _page(report, figures, form)
            write_bytes(target, to_pdf(page, figures.parent) if form == "pdf" else page.encode())
            _remove_others(figures, report, page if form == "md" else None)
    except OSError as error:
        raise RunError(f"The report {str(target)!r} could not be written: {error}.") from error
    _warn_of_missing_letters(report, page if form == "pdf" else "")
    return target


report = write_report  # its name in `balanced_mixup`


def _warn_of_missing_letters(report: "Document", printed: str) -> None:
    """Warn of letters that are drawn as boxes in the figures, or in the PDF that a page is `printed` to."""
    from balanced_mixup.report.figures.fonts import missing_letters, written

    missing = missing_letters(" ".join([printed, *(written(chart.drawing.figure) for chart in report.charts())]))
    if missing:
        log.warning(
            "%s such as %s are shown as boxes in the %sPNG figures, as no installed font has them. Install one, for example "
            "Noto (on Debian: apt install fonts-noto-cjk), and write the report again.",
            counted(len(missing), "letter"),
            missing[:8],
            "PDF and the " if printed else "",
        )


def _write_run_reports(path: Path) -> None:
    """Write report.html of every finished run of a benchmark."""
    folder = BenchmarkFolder(path)
    if not folder.index.is_file():
        raise UsageError(f"Expected `runs` with the report of a benchmark, but {str(path)!r} is not the folder of one.")
    finished = [run.path for run in map(folder.run, folder.read().runs) if run.metrics.is_file()]
    with progress_bar("Reports of runs", len(finished)) as advance:
        for run in finished:
            try:
                write_report(run)
            except (RunError, UsageError) as error:
                log.warning("The report of %s could not be written: %s", run, error)
            advance(1)


def _remove_others(figures: Path, report: "Document", markdown: str | None) -> None:
    """Remove the figures of an earlier report, and the images of an earlier Markdown; other files are the user's."""
    names = {chart.name for chart in report.charts()}
    for svg in figures.glob("*.svg"):
        files = [svg.with_suffix(suffix) for suffix in (".svg", ".png", ".csv")]
        if svg.stem not in names and all(file.is_file() for file in files):
            for file in files:
                file.unlink()
    image = re.compile(rf"({'|'.join(section.name for section in report.sections)})-[0-9]+-([0-9]+-[0-9]+|scale)\.jpg")
    for file in figures.glob("*.jpg") if markdown is not None else ():
        if image.fullmatch(file.name) and file.name not in str(markdown):
            file.unlink()


def _format(out: Path | str | None, form: Format | None) -> Format:
    known = get_args(Format)
    if form is not None and form not in known:
        raise UsageError(f"Expected `form` to be one of {', '.join(known)}, but got {form!r}.")
    if out is None:
        return form or "html"
    suffix = Path(out).suffix.lower().removeprefix(".")
    if suffix not in known or form not in (None, suffix):
        wanted = f".{form}" if form else " or ".join(f".{each}" for each in known)
        raise UsageError(f"Expected `out` to be a file that ends with {wanted}, but got {str(out)!r}.")
    return "pdf" if suffix == "pdf" else "md" if suffix == "md" else "html"


def make_report(path: Path, folder: Path) -> "Document":
    """Return the report of a run, an evaluation or a benchmark, as it is written to a file in `folder`."""
    kind = _kind_of(path)
    from balanced_mixup.report.benchmark_report import benchmark_report
    from balanced_mixup.report.choice_report import choice_report
    from balanced_mixup.report.run_report import evaluation_report, run_report

    if kind == "benchmark":
        return benchmark_report(path, folder)
    if kind == "choice":
        return choice_report(path)
    return run_report(path) if kind == "run" else evaluation_report(path)


def _kind_of(path: Path) -> Literal["run", "benchmark", "evaluation", "choice"]:
    """Return what the folder holds; UsageError where it is nothing that has a report."""
    if (path / CHOICE).is_file():
        return "choice"
    if RunFolder(path).recipe.is_file():
        return "run"
    if BenchmarkFolder(path).index.is_file():
        return "benchmark"
    if (path / "metrics.json").is_file():
        return "evaluation"
    what = "it has neither a recipe.yaml nor a benchmark.json" if path.is_dir() else "there is no such folder"
    raise UsageError(f"Expected {str(path)!r} to be the folder of a run or of a benchmark, but {what}.")


def _page(report: "Document", figures: Path, form: Format) -> str:
    from balanced_mixup.report.html import to_html
    from balanced_mixup.report.markdown import to_markdown

    return to_markdown(report, figures) if form == "md" else to_html(report)
