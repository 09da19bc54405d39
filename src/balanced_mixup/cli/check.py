"""`bmixup check`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from balanced_mixup.cli.console import Console
from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import Problem, describe

if TYPE_CHECKING:
    from balanced_mixup.data.inspection import Inspection

_BAR_WIDTH = 20


def check(
    *,
    settings: Annotated[DataSettings | None, Parameter(name="*")] = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Check a data set before training: opens every image and lists all problems at once.

    Shows class counts, groups, image sizes and the split that a training would use. Exit status 2 if there is a problem that
    would stop a training.

    Parameters
    ----------
    val_fraction
        Fraction for validation, if the data have no validation split.
    test_fraction
        Fraction for test, if the data have no split.
    seed
        Seed of the split.
    json
        Print one JSON object.
    """
    from balanced_mixup.cli.show import print_json
    from balanced_mixup.evaluation.check import check as check_data

    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    inspection = check_data(val_fraction=val_fraction, test_fraction=test_fraction, seed=seed, **given)
    if json:
        print_json(inspection.to_dict())
    else:
        show(inspection, Console())
    return 2 if inspection.fatal else 0


def show(inspection: "Inspection", console: Console) -> None:
    """Print the inspection; the last line counts problems and warnings."""
    console.print(_class_table(inspection))
    console.print(_facts(inspection))
    _show_problems(console, inspection.fatal, "bold red")
    _show_problems(console, inspection.warnings, "bold yellow")
    console.print(_summary(len(inspection.fatal), len(inspection.warnings)))


def _class_table(inspection: "Inspection") -> Table:
    """One row per class: its images, their fraction as a number and as a bar, and how many of them are in each split."""
    by_split = {split: inspection.planned.counts(split) for split in SPLITS if len(inspection.planned.rows(split))}
    counts = inspection.manifest.counts()
    total, largest = max(int(counts.sum()), 1), max(int(counts.max(initial=0)), 1)
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("class", "all")
    table.add_column("images", f"{counts.sum():,}", justify="right")
    table.add_column("share", justify="right")
    table.add_column("", width=_BAR_WIDTH)
    for split, in_split in by_split.items():
        table.add_column(split, f"{in_split.sum():,}", justify="right")
    for k, name in enumerate(inspection.manifest.classes):
        bar = Bar(largest, 0, int(counts[k]), width=_BAR_WIDTH, color="cyan")
        cells = (f"{in_split[k]:,}" for in_split in by_split.values())
        table.add_row(Text(name), f"{counts[k]:,}", f"{counts[k] / total:.1%}", bar, *cells)
    return table


def _facts(inspection: "Inspection") -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_row("")
    facts.add_row("order", "ordinal, in the order above" if inspection.manifest.ordinal else "none")
    facts.add_row("groups", _groups(inspection))
    facts.add_row("sizes", _sizes(inspection))
    facts.add_row("split", _split(inspection))
    facts.add_row("")
    return facts


def _groups(inspection: "Inspection") -> str:
    sizes = inspection.group_sizes
    if not len(sizes):
        return "none given: images are treated as independent (--group-column names patients, lesions, ...)"
    if sizes[0] == sizes[-1]:
        return f"{len(sizes):,}, of {sizes[0]:,} image{'' if sizes[0] == 1 else 's'} each"
    return f"{len(sizes):,}, of {sizes[0]:,} to {sizes[-1]:,} images each (median {np.median(sizes):g})"


def _sizes(inspection: "Inspection") -> str:
    """Describe the most frequent sizes, width × height, and the range of all."""
    sizes = inspection.sizes
    if not sizes:
        return "no image could be read"
    text = ", ".join(f"{width} × {height} ({count:,})" for (width, height), count in sizes[:3])
    if len(sizes) > 3:
        widths, heights = zip(*(size for size, _ in sizes), strict=True)
        text += f" and {len(sizes) - 3:,} more, {min(widths)} to {max(widths)} wide, {min(heights)} to {max(heights)} high"
    return text


def _split(inspection: "Inspection") -> str:
    plan = inspection.plan
    if plan is None or inspection.planned.split is inspection.manifest.split:
        return "as given" if inspection.manifest.split is not None else "none"
    made = f"{plan.val_fraction:g} for validation"
    if inspection.manifest.split is not None and len(inspection.manifest.rows("test")):
        made += " out of the given training split"
    elif plan.test_fraction > 0:
        made += f", {plan.test_fraction:g} for test"
    by = "by class" if inspection.manifest.groups is None else "by class, no group divided"
    return f"planned {by}: {made}, seed {plan.seed}"


def _show_problems(console: Console, problems: Sequence[Problem], style: str) -> None:
    """Print problems by kind, the kinds in `style`."""
    if not problems:
        return
    text = Text()
    for line in describe(problems).splitlines():
        text.append(line + "\n", style="" if line.startswith(" ") else style)
    console.print(text)


def _summary(errors: int, warnings: int) -> Text:
    if not errors and not warnings:
        return Text("no problems", style="bold green")
    text = f"{errors} problem{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    return Text(text, style="bold red" if errors else "bold yellow")
