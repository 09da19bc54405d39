"""Labels that look like a misspelling of another one: nearly the same name, but hardly any images."""

import re
import shlex
from collections.abc import Mapping

from balanced_mixup.errors import Problem

_RARE, _TIMES = 2, 10  # a misspelling occurs at most so often, and the right name so many times as often
_MOST = 2000  # labels; each rare one is compared with every other
_OPPOSITE = ("hypo", "hyper"), ("intra", "inter"), ("pre", "post"), ("endo", "ecto")


def typos(counts: Mapping[str, int]) -> list[Problem]:
    """Return a warning for each label that is probably a misspelling.

    Args:
        counts: Number of images by label.
    """
    if len(counts) > _MOST:
        return []
    problems = []
    for rare, count in counts.items():
        if count > _RARE:
            continue
        near = [(-n, name) for name, n in counts.items() if n >= _TIMES * count and n > _RARE and _is_near(rare, name)]
        if near:
            name = min(near)[1]
            message = (
                f"{rare!r} has {count} image{'s' * (count > 1)}, {name!r} {counts[name]:,}. If it is a misspelling, add "
                f"{shlex.join((f'--label-map.{rare}', name))}"
            )
            problems.append(Problem("possible misspelling", message, "Ignore this if they are two classes.", fatal=False))
    return problems


def _is_near(one: str, other: str) -> bool:
    """Return whether two names differ by one or two letters inside a longer word, beginning with the same letter."""
    a, b = one.casefold(), other.casefold()
    if a == b or a[:1] != b[:1] or re.findall("[0-9]+", a) != re.findall("[0-9]+", b):
        return False
    words, others = re.findall(r"[^\W_]+", a), re.findall(r"[^\W_]+", b)
    if len(words) == len(others):
        pairs = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
        if len(pairs) != 1:
            return not pairs  # the same words with other signs between them
        a, b = pairs[0]
    if _are_opposite(a, b):
        return False
    shorter = min(len(a), len(b))
    return a[:1] == b[:1] and shorter >= 4 and _distance(a, b) <= (2 if shorter >= 8 else 1)


def _are_opposite(a: str, b: str) -> bool:
    return any({a.startswith(x), b.startswith(x)} == {True, False} == {a.startswith(y), b.startswith(y)} for x, y in _OPPOSITE)


def _distance(a: str, b: str) -> int:
    """Return the Levenshtein distance, with two neighbours swapped counted as one change (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        earlier, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
    return row[-1]
