"""Suggestion that classes are grades, which have an order: 0 to 4, stage I to IV, mild, moderate, severe."""

import re
import shlex
from collections.abc import Sequence

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.sources import POSSIBLE_GRADES
from balanced_mixup.errors import Problem

_NUMERALS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_GRADED = re.compile(r"(grade|stage|level|score|degree|severity|g|kl|bi-?rads|isup)[ _-]*([0-9]+|[ivx]+)", re.I)
_COLUMN = re.compile("grad(e|ing)|level|stage|sever|score|degree|diagnosis|isup|gleason|birads|(^|_)kl(_|$)", re.I)
_NONE = frozenset(["no", "none", "normal", "healthy", "absent", "negative", "zero"])
_WORDS = {
    "minimal": 1, "doubtful": 1, "questionable": 1, "slight": 1, "trace": 1, "low": 2, "mild": 2, "moderate": 3, "medium": 3,
    "intermediate": 3, "high": 4, "severe": 4, "marked": 4, "advanced": 5, "proliferative": 5, "extreme": 6,
}  # fmt: skip
_MOST, _USUAL = 10, 5  # grades; and the only number of them that is recognised by numbers alone


def suggest_order(manifest: Manifest, label_column: str | None, files: bool) -> list[Problem]:
    """Return a warning if the classes look like grades.

    Args:
        manifest: Its classes are not ordinal.
        label_column: Name of the column of the labels, if there is one.
        files: The labels were written by a person, in a table or as the names of folders; numbers in arrays mean nothing.
    """
    names = manifest.classes
    if not 3 <= len(names) <= _MOST:
        return []
    order = _order_of_numbers(names, label_column) if files else None
    order = order or _order_of_names(names)
    if order is None:
        return []
    flags = ["--ordinal"] if all(name.isdigit() for name in order) else ["--ordinal", "--classes", ",".join(order)]
    message = (
        f"the classes {', '.join(names)} look like grades. To train and score them in their order, add {shlex.join(flags)}"
    )
    remedy = "Scores then count how far a wrong grade is off (quadratic kappa). If the classes have no order, add --no-ordinal."
    return [Problem(POSSIBLE_GRADES, message, remedy, fatal=False)]


def _order_of_numbers(names: Sequence[str], column: str | None) -> list[str] | None:
    """Return numbers from 0 or 1 without a gap, if there are five of them or their column says that they are grades."""
    if not all(name.isdigit() for name in names):
        return None
    numbers = sorted(map(int, names))
    if numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    told = column is not None and _COLUMN.search(column)
    return [str(number) for number in numbers] if told or len(numbers) == _USUAL else None


def _order_of_names(names: Sequence[str]) -> list[str] | None:
    """Return "grade 1", "stage II" or "mild", "moderate" ... in their order; one class may be the absence of all."""
    ranks: dict[str, int] = {}
    graded = 0
    for name in names:
        words = re.findall("[a-z]+", name.lower())
        if match := _GRADED.fullmatch(name.strip()):
            number = match[2].lower()
            ranks[name] = int(number) if number.isdigit() else _NUMERALS.get(number, 0)
            graded += 1
        elif not _NONE.isdisjoint(words):
            ranks[name] = -1
        elif known := [_WORDS[word] for word in words if word in _WORDS]:
            ranks[name] = max(known) + ("very" in words)
            graded += 1
    if graded < 2 or len(ranks) < len(names) or len(set(ranks.values())) < len(names):
        return None
    return sorted(names, key=ranks.__getitem__)
