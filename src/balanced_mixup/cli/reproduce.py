"""`bmixup reproduce`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from balanced_mixup.cli.console import Console
from balanced_mixup.errors import UsageError
from balanced_mixup.training.recipe import Placement

if TYPE_CHECKING:
    from balanced_mixup.data.manifest import Manifest
    from balanced_mixup.paper.reproduce import PaperTable, Quick
    from balanced_mixup.report.figures import Drawing

What = Literal["table1", "table2", "table3", "figure1", "figure2", "figure3", "all"]


def reproduce(
    what: What,
    /,
    *,
    data: Path | None = None,
    out: Path = Path("reproduction"),
    quick: Annotated[bool, Parameter(negative="")] = False,
    pocket: Annotated[bool, Parameter(negative="", show=False)] = False,
    images: int | None = None,
    size: int | None = None,
    epochs: int | None = None,
    backbone: str | None = None,
    protocol: Literal["paper", "honest"] | None = None,
    jobs: int | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    placement: Annotated[Placement | None, Parameter(name="*")] = None,
) -> int:
    """Reproduce a table or figure of the paper, next to the published numbers.

    Tables 1 and 2 need EyePACS (and Messidor-2), Table 3 HyperKvasir, each made with `bmixup prepare`. The paper's settings:
    512 px, both backbones, all methods, 30 epochs; the time that this takes is estimated first. `--quick` runs the same
    protocol at a small scale on any prepared data set. Run it again to resume.

    Figure 1 shows the class distributions (of `--data`, or the published counts), Figure 2 how Balanced-MixUp
    populates the data space (embeddings of `--data`, or 2-D points), Figure 3 the mixing weights.

    Parameters
    ----------
    what
        Table or figure, or all of them.
    data
        A folder made by `bmixup prepare`, or a folder of several of them.
    out
        Folder for runs, tables (.md, .tex, .csv) and figures (.svg, .png, and .csv with the numbers).
    quick
        Run at a small scale: few images of any prepared data set, a small size, few epochs, one backbone.
    images
        With --quick: approximate number of images; 1000 if not given.
    size
        With --quick: side in pixels; 64 if not given.
    epochs
        With --quick: 6 if not given.
    backbone
        With --quick: tf_efficientnet_lite0 if not given.
    protocol
        paper, the default: as published (optimistic: the epoch is chosen on the fold that is scored); honest: on other images.
    jobs
        Number of parallel runs; as for `bmixup benchmark` if not given.
    dry_run
        Only print the number of runs and their estimated time.
    """
    from balanced_mixup.paper.reproduce import TABLES, paper_plan

    quick = quick or pocket  # its name until 0.1
    small = _quick(quick, images=images, size=size, epochs=epochs, backbone=backbone)
    where = {} if placement is None else placement.model_dump(exclude_unset=True)
    names = (*TABLES, *_FIGURES) if what == "all" else (what,)
    tables = {name: TABLES[name] for name in names if name in TABLES}
    if not tables:
        useless = {"quick": quick, "protocol": protocol, "jobs": jobs, "dry_run": dry_run, **where}
        _refuse_with_figures(what, useless | ({"data": data} if what == "figure3" else {}))
    if tables and data is None:
        first = next(iter(tables))
        raise UsageError(f"Expected --data with {first}: a folder made by `bmixup prepare` (see `bmixup list sources`).")
    # All plans are made before the first run, so that missing data are reported at once and not after days.
    plans = {name: paper_plan(table, data or Path(), small, protocol or "paper") for name, table in tables.items()}
    from balanced_mixup.benchmark.engine import run_benchmark
    from balanced_mixup.cli.benchmark import print_outcome

    for name in names:
        if name in _FIGURES and not dry_run:
            _draw(name, data if what != "all" else None, out / name)
    status = 0
    for name, plan in plans.items():
        quick_folder = "pocket" if (out / "pocket").is_dir() else "quick"  # its name until 0.1
        folder = out / (quick_folder if small else tables[name].data)  # tables of the same data share their runs
        outcome = run_benchmark(plan, folder, where, jobs, dry_run=dry_run)
        status |= print_outcome(outcome, folder)
        if outcome.finished and not dry_run:
            _write_table(tables[name], folder, out / name)
    return status


def _quick(enabled: bool, **settings: Any) -> "Quick | None":
    from balanced_mixup.paper.reproduce import Quick

    given = {name: value for name, value in settings.items() if value is not None}
    if given and not enabled:
        flags = ", ".join(f"--{name}" for name in given)
        raise UsageError(f"Expected {flags} only with --quick: without it the paper's settings are used.")
    return replace(Quick(), **given) if enabled else None


def _refuse_with_figures(what: str, settings: Mapping[str, object]) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in settings.items() if value not in (None, False)]
    if given:
        raise UsageError(f"Expected {', '.join(given)} only with tables, but got {what}, which does not use it.")


def _write_table(table: "PaperTable", folder: Path, stem: Path) -> None:
    from balanced_mixup.benchmark.results import read_results
    from balanced_mixup.benchmark.summary import summarise
    from balanced_mixup.benchmark.tables import markdown, render
    from balanced_mixup.files import write_text
    from balanced_mixup.paper.reproduce import with_published

    results = read_results(folder)
    entries = summarise(results, table.metrics)
    text = "\n".join(markdown(grid) for grid in with_published(table, entries))
    write_text(stem.with_suffix(".md"), text + "\n" + render(results, entries, "md") + "\n")
    write_text(stem.with_suffix(".tex"), render(results, entries, "latex") + "\n")
    write_text(stem.with_suffix(".csv"), render(results, entries, "csv"))
    print(text)
    Console().print(f"Written to {stem}.md, .tex and .csv", soft_wrap=True, highlight=False, markup=False)


def _draw(name: str, data: Path | None, stem: Path) -> None:
    from balanced_mixup.extras import require

    require("A figure", "report", "matplotlib")
    from balanced_mixup.report.figures import save

    paths = save(_FIGURES[name](data), stem)
    Console().print("Written to " + ", ".join(map(str, paths)), soft_wrap=True, highlight=False, markup=False)


def _figure1(data: Path | None) -> "Drawing":
    from balanced_mixup.datasets.cards import get_card
    from balanced_mixup.report.figures import ClassCounts, figure1

    if data is not None:
        manifest = _load(data)
        return figure1([ClassCounts(data.resolve().name, manifest.classes, manifest.counts().tolist(), manifest.ordinal)])
    shown = []
    for card in (get_card("eyepacs"), get_card("hyperkvasir")):
        # The training images of EyePACS, as in the paper.
        counts = card.counts.get("train") or card.counts["all"]
        shown.append(
            ClassCounts(card.title, list(card.classes.values()), [counts[name] for name in card.classes], card.ordinal)
        )
    return figure1(shown)


def _figure2(data: Path | None) -> "Drawing":
    from balanced_mixup.paper.figure2 import figure2, figure2_of_embeddings, imbalanced_points

    if data is None:
        return figure2(*imbalanced_points())
    from balanced_mixup.explain.embeddings import embed

    embeddings, labels, classes = embed(_load(data))
    return figure2_of_embeddings(embeddings, labels, classes)


def _figure3(data: Path | None) -> "Drawing":
    from balanced_mixup.paper.figure3 import figure3

    return figure3()


def _load(data: Path) -> "Manifest":
    from balanced_mixup.data.settings import DataSettings
    from balanced_mixup.data.sources import load

    return load(DataSettings(data=str(data)))


_FIGURES = {"figure1": _figure1, "figure2": _figure2, "figure3": _figure3}
