"""The terminal: what is printed to it holds no control characters of names, and it need not be there."""

import os
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from balanced_mixup.errors import UNPRINTABLE, printable


class Console(RichConsole):
    """Rich's console; control characters in texts are printed as escapes (`\\\\x1b`).

    They become escapes before lines are broken: Rich cuts what is longer than the line that it has measured.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as a text."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the parts of something to print."""
        if isinstance(renderable, Text):
            renderable = _printable(renderable)
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def _printable(text: Text) -> Text:
    """Return a text with control characters as escapes, each part in its style."""
    if UNPRINTABLE.search(text.plain) is None:
        return text
    places = [place for match in UNPRINTABLE.finditer(text.plain) for place in match.span()]
    shown = text.blank_copy()
    for part in text.divide(places):
        shown.append_text(Text(printable(part.plain), *[span.style for span in part.spans[-1:]]) if _is_control(part) else part)
    return shown


def _is_control(part: Text) -> bool:
    return UNPRINTABLE.fullmatch(part.plain) is not None


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
