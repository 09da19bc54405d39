"""Progress bars on standard error if it is a terminal, and in notebooks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def is_watched() -> bool:
    """Return whether bars can be shown: standard error is a terminal, or this is a notebook that has widgets for them."""
    return sys.stderr.isatty() or (_in_notebook() and find_spec("ipywidgets") is not None)


def _in_notebook() -> bool:
    python = sys.modules.get("IPython")
    return python is not None and type(python.get_ipython()).__name__ == "ZMQInteractiveShell"


@contextmanager
def progress_bar(description: str, total: int, *, watched: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar inside the block, unless not `watched`; yields a function to call with the steps since the last call."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not (watched and is_watched())) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.advance(task, done)
