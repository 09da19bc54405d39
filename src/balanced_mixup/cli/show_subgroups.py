"""Printing the scores of subgroups."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from balanced_mixup.cli.console import Console
from balanced_mixup.cli.show import interval, print_warnings

if TYPE_CHECKING:
    from balanced_mixup.runs.evaluation import EvaluationResult


def print_subgroups(result: "EvaluationResult") -> None:
    """Print the balanced accuracy of each subgroup and its difference from all other images, if there are subgroups."""
    from balanced_mixup.runs.subgroups import classes_of

    if not result.subgroups:
        return
    console, shown = Console(), []
    table = Table(box=None, pad_edge=False)
    table.add_column("subgroup")
    grouped = result.scores.groups is not None
    sizes_of = ("images", *(("groups",) if grouped else ()), "classes")
    for heading in (*sizes_of, "balanced accuracy [95 % interval]", "difference from the others"):
        table.add_column(heading, justify="right")
    for each, classes in zip(result.subgroups, classes_of(result.subgroups), strict=True):
        found = each.metrics["balanced_accuracy"]
        shown += [found.score, found.difference]
        sizes = (f"{each.n:,}", *((f"{each.groups:,}",) if grouped else ()), classes)
        table.add_row(
            escape(f"{each.column}: {each.value}"),
            *sizes,
            "–" if found.bare else interval(found.score),
            interval(found.difference, "+.3f", "+.2f"),
        )
    console.print(table, "")
    print_warnings(console, shown)
    line = "Means are over the classes that a subgroup has; no difference where it, or all others, lack some. "
    line += "metrics.json has each class.\n"
    console.print(line, highlight=False, soft_wrap=True)
