"""The exceptions of this package. Every message says what was expected, what was found, and what to do."""

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self


class BalancedMixupError(Exception):
    """Base of all errors of this package; `exit_status` is what the command line returns for it."""

    exit_status = 1


class UsageError(BalancedMixupError, ValueError):
    """A setting or an argument is wrong."""

    exit_status = 2


class RunError(BalancedMixupError):
    """The input was valid, but the operation failed (a full disk, weights that are not available, a diverged training)."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a data set.

    Args:
        kind: Short name shared by all problems of this kind, such as "missing file".
        message: The file or row, what was expected and what was found, in one line.
        remedy: How to fix problems of this kind, in one line.
        rows: Rows of the manifest that it concerns (positions from 0).
        fatal: False for a warning that does not prevent training.
    """

    kind: str
    message: str
    remedy: str
    rows: tuple[int, ...] = ()
    fatal: bool = True


class DataError(BalancedMixupError):
    """The data cannot be used; contains every problem that was found, not only the first."""

    exit_status = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Args: problems: at least one; the message lists them by kind."""
        self.problems = tuple(problems)
        super().__init__(describe(self.problems))

    @classmethod
    def of(cls, kind: str, message: str, remedy: str) -> Self:
        """Return the error of a single problem; see `Problem`."""
        return cls([Problem(kind, message, remedy)])


def describe(problems: Sequence[Problem], examples: int = 10) -> str:
    """List `problems` by kind, each kind with its count, its first `examples` messages and its remedy."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    lines = []
    for kind, members in kinds.items():
        lines.append(f"{kind} ({len(members)})")
        lines += [f"  - {problem.message}" for problem in members[:examples]]
        if len(members) > examples:
            lines.append(f"  - and {len(members) - examples} more")
        lines.append(f"  {members[0].remedy}")
    return "\n".join(lines)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist, _SHORT.maxtuple = 3, 8, 8, 8
_SHORT.maxstring = _SHORT.maxother = 200
_LONGEST = 300


def shown(value: object) -> str:
    """Return the `repr` of a value as it goes into a message: of a long or deeply nested one only the beginning and the end."""
    try:
        text = _SHORT.repr(value)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 60]} ... {text[-50:]}"
    except ValueError:  # an integer of more digits than Python converts
        return f"a value of the type {type(value).__name__} that is too long to show"


# Control characters but tab and newline, and those that change the direction of the text around them.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return text for a terminal or a log, with control characters as escapes: a name must not move the cursor or hide text."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to `name`, or "" where none is near."""
    names = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), names, n=1)
    return f" Did you mean {names[matches[0]]!r}?" if matches else ""


def human_bytes(count: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def human_time(seconds: float) -> str:
    """Return a duration with its unit."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes / 60 / 24:.1f} days"
