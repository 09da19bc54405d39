"""The terminal: what is printed to it holds no control characters of names, and it need not be there."""

import os
import sys
from collections.abc import Iterator

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from balanced_mixup.errors import printable


class Console(RichConsole):
    """Rich's console; control characters in texts are printed as escapes (`\\\\x1b`)."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the parts of something to print."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def open_closed_streams() -> None:
    """Give a program that was started without standard streams (`2>&-`) ones that lead nowhere.

    Their numbers would go to the next files that are opened, and messages into these.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - open to the end
