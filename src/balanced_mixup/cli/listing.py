"""`bmixup list`."""

import sys
from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

Kind = Literal["methods", "recipes", "sources", "metrics", "backbones"]


def listing(kind: Kind | None = None, pattern: str = "*", /) -> None:
    """List what can be named: methods, recipes, data sources, metrics; and `list backbones 'mobilenet*'`.

    Parameters
    ----------
    kind
        What to list; all but the backbones if not given.
    pattern
        Which backbones, with * for any characters.
    """
    console = Console()
    if kind == "backbones":
        import timm

        sys.stdout.writelines(f"{name}\n" for name in timm.list_models(pattern))
        return
    for name, rows in _tables().items():
        if kind in (None, name):
            table = Table(title=name, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
            table.add_column(style="cyan", no_wrap=True)
            table.add_column()
            table.add_column(style="dim")
            for row in rows:
                table.add_row(*row)
            console.print(table, "")


def _tables() -> dict[str, Sequence[tuple[str, ...]]]:
    from balanced_mixup.data.sources import SOURCES
    from balanced_mixup.methods import METHODS
    from balanced_mixup.training.recipe import MONITORS, RECIPE_SUMMARIES

    return {
        "methods": [(method.name, method.summary, method.title) for method in METHODS.values()],
        "recipes": list(RECIPE_SUMMARIES.items()),
        "sources": list(SOURCES.items()),
        "metrics": [(name, summary) for name, summary in MONITORS.items()],
    }
