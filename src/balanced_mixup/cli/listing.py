"""`bmixup list`."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from balanced_mixup.cli.console import Console
from balanced_mixup.errors import UsageError

if TYPE_CHECKING:
    from balanced_mixup.methods import Method

Kind = Literal["methods", "recipes", "sources", "metrics", "protocols", "backbones"]


def listing(kind: Kind | None = None, pattern: str = "*", /) -> None:
    """List available methods, recipes, data sources, metrics and protocols.

    `list methods` gives the settings and an example of each; `list backbones 'mobilenet*'` lists architectures; `list sources
    eyepacs` describes a published data set.

    Parameters
    ----------
    kind
        What to list; everything but backbones if not given.
    pattern
        For backbones, a name with wildcards (*); for sources, the published data set to describe.
    """
    console = Console()
    if kind == "backbones":
        from balanced_mixup.training.backbone_names import architectures, plugin_backbones

        names = fnmatch.filter([*sorted(plugin_backbones()), *architectures()], pattern)
        sys.stdout.writelines(f"{name}\n" for name in names)
        return
    if pattern != "*":
        if kind != "sources":
            raise UsageError(f"Expected a pattern only after `backbones` or `sources`, but got {pattern!r} after {kind}.")
        _show_card(pattern, console)
        return
    if kind == "methods":
        _list_methods(console)
        return
    for name, rows in _tables().items():
        if kind in (None, name):
            table = _plain_table(name)
            for row in rows:
                table.add_row(*row)
            console.print(table, "")


def _plain_table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    table.add_column(style="dim")
    return table


def _list_methods(console: Console) -> None:
    """Print each method with its paper, the settings that are its own, with their defaults, and an example."""
    from balanced_mixup.methods import METHODS, Method

    for name, method in METHODS.items():
        console.print(f"[cyan]{name}[/cyan] [dim]{escape(method.title)}[/dim]")
        own = {key: field for key, field in method.model_fields.items() if key not in Method.model_fields}
        settings = (f"{_flag(key)} {field.default}: {field.description}" for key, field in own.items())
        for line in (method.summary(), *settings):
            console.print(Padding(escape(line), (0, 0, 0, 4)))
        console.print(Padding(f"[dim]{escape(example_of(method))}[/dim]", (0, 0, 0, 4)), "")


def example_of(method: type[Method]) -> str:
    """Return a command that trains by a method, with the default of its first setting if it has one of its own."""
    from balanced_mixup.methods import Method

    command = f"bmixup train --data synthetic-fundus --method {method.model_fields['name'].default}"
    own = (key for key, field in method.model_fields.items() if key not in Method.model_fields and field.default is not None)
    return " ".join([command, *(f"{_flag(key)} {method.model_fields[key].default}" for key in islice(own, 1))])


def _flag(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _tables() -> dict[str, Sequence[tuple[str, ...]]]:
    from balanced_mixup.benchmark.protocols import PROTOCOLS
    from balanced_mixup.data.sources import sources
    from balanced_mixup.datasets.cards import TASKS
    from balanced_mixup.methods import METHODS
    from balanced_mixup.metrics import METRICS
    from balanced_mixup.training.recipe import RECIPE_SUMMARIES

    published = [(name, task, "published: `bmixup prepare`") for name, task in TASKS.items()]
    return {
        "methods": [(name, method.summary(), method.title) for name, method in METHODS.items()],
        "recipes": list(RECIPE_SUMMARIES.items()),
        "sources": [*((source.name, source.summary) for source in sources().values()), *published],
        "metrics": [(name, metric.summary) for name, metric in METRICS.items()],
        "protocols": [(protocol.name, protocol.summary) for protocol in PROTOCOLS.values()],
    }


def _show_card(name: str, console: Console) -> None:
    """Describe a published data set."""
    from balanced_mixup.datasets.cards import get_card

    card = get_card(name)
    facts = _plain_table(card.title)
    for fact, text in {
        "task": card.task,
        "get it": card.url,
        "licence": card.licence,
        "raw folder": card.layout,
        "groups": card.groups,
        "images": ", ".join(
            f"{count:,}" if split == "all" else f"{split} {count:,}" for split, count in card.published.items()
        ),
        "cite": card.citation,
        "prepare": f"bmixup prepare {card.name}{'' if card.sizes else ' --root RAW'} --out DIR --size {card.default_size}",
    }.items():
        facts.add_row(fact, escape(text))
    console.print(facts, "")
    classes = Table(box=None, pad_edge=False, header_style="bold")
    classes.add_column("grade" if card.ordinal else "class")
    classes.add_column("")
    for split in card.counts:
        classes.add_column("images" if split == "all" else split, justify="right")
    for label, title in card.classes.items():
        classes.add_row(escape(label), escape(title), *(f"{counts[label]:,}" for counts in card.counts.values()))
    console.print(classes)
