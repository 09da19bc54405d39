"""`bmixup report`: the report of a run or a benchmark as a file, with its figures as separate files."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.extras import require
from balanced_mixup.files import write_bytes
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from balanced_mixup.report.document import Document

Format = Literal["html", "pdf", "md"]

_WRITING_SECONDS = 600.0  # at most, in which another process writes the same report


def write_report(path: Path | str, out: Path | str | None = None, form: Format | None = None) -> Path:
    """Write the report of a run or of a benchmark.

    Args:
        path: Folder of the run, finished or not, of an evaluation of it, or of a benchmark.
        out: Output file; report.html, .pdf or .md in the folder if not given. Each figure is written too, as SVG, PNG
            and CSV with its numbers, to a folder named after it: report-figures.
        form: The format; if not given the suffix of `out`, or html.

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
    require("A report", "report", "matplotlib", *(["jinja2"] if form != "md" else []))
    from balanced_mixup.report.figures import save

    report = make_report(path, target.resolve().parent)
    figures = RunFolder(target.parent).own(target.with_name(f"{target.stem}-figures"))
    try:
        with locked(figures, wait=_WRITING_SECONDS):
            for chart in report.charts():
                save(chart.drawing, figures / chart.name)
            write_bytes(target, _rendered(report, figures, form))
    except OSError as error:
        raise RunError(f"The report {str(target)!r} could not be written: {error}.") from error
    return target


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
    from balanced_mixup.report.benchmark_report import benchmark_report
    from balanced_mixup.report.run_report import evaluation_report, run_report

    if RunFolder(path).recipe.is_file():
        return run_report(path)
    if BenchmarkFolder(path).index.is_file():
        return benchmark_report(path, folder)
    if (path / "metrics.json").is_file():
        return evaluation_report(path)
    what = "it has neither a recipe.yaml nor a benchmark.json" if path.is_dir() else "there is no such folder"
    raise UsageError(f"Expected {str(path)!r} to be the folder of a run or of a benchmark, but {what}.")


def _rendered(report: "Document", figures: Path, form: Format) -> bytes:
    from balanced_mixup.report.html import to_html
    from balanced_mixup.report.markdown import to_markdown
    from balanced_mixup.report.pdf import to_pdf

    if form == "pdf":
        return to_pdf(to_html(report))
    return (to_markdown(report, figures) if form == "md" else to_html(report)).encode()
