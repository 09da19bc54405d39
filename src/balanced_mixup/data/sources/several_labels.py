"""Labels that name several classes ("mild, cyst"), where one class an image is trained."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from balanced_mixup.errors import UsageError, nearest

MultiLabel = Literal["first"]
Parts = tuple[str, ...]

_SEPARATOR = re.compile(r"[,;|/+&]")


def find_several(
    labels: Sequence[str], declared: Collection[str] | None, known: Mapping[str, Parts], name: Callable[[str], str]
) -> dict[str, Parts]:
    """Return the labels that name several classes, with these in their order, each once.

    A label does if it has separators and all of its parts are classes themselves: declared, or labels on their own, or parts of
    several labels. Where there is such a label, or the classes are declared, one with a single part that is a class does, too.

    Args:
        labels: The distinct labels.
        declared: The classes, if they are declared; a declared class is never taken apart.
        known: What labels name, where this needs no guess; () for the others.
        name: Function from a part as it is written to the name of its class.
    """
    candidates: dict[str, Parts] = {}
    for label in labels:
        split = () if declared is not None and label in declared else (known.get(label) or _SEPARATOR.split(label))
        parts = [name(part) for part in split if part.strip()]
        if len(parts) > 1:
            candidates[label] = tuple(parts)
    if not candidates:
        return {}
    classes = set(declared or ())
    if declared is None:
        occurring = Counter(part for parts in candidates.values() for part in set(parts))
        classes = {label for label in labels if label not in candidates}
        classes |= {part for part, count in occurring.items() if count > 1}
    certain = {label for label, parts in candidates.items() if known.get(label) or classes.issuperset(parts)}
    partly = bool(certain) or declared is not None
    return {
        label: tuple(dict.fromkeys(parts))
        for label, parts in candidates.items()
        if label in certain or (partly and not classes.isdisjoint(parts))
    }


def resolve(
    labels: Sequence[str],
    found: Mapping[str, Parts],
    multi_label: MultiLabel | None,
    one_vs_rest: str | None,
    missing: Collection[str],
    declared: Collection[str] | None,
) -> tuple[list[str], dict[str, Parts]]:
    """Return each of the distinct labels as one class where the settings say how, and those that still name several.

    Args:
        labels, found, declared: As of `find_several`.
        multi_label: "first": the first of the classes that a label names.
        one_vs_rest: Name of a class; the classes are then this one and "not NAME".
        missing: How a missing label is written, in lower case.

    Raises:
        UsageError: There is no class `one_vs_rest`.
    """
    if one_vs_rest is not None:
        named = {label: {label, *found.get(label, ()), *map(str.strip, _SEPARATOR.split(label))} for label in labels}
        if not any(one_vs_rest in names for names in named.values()) and one_vs_rest not in (declared or ()):
            singles = sorted(label for label in labels if label not in found and label.lower() not in missing)
            raise UsageError(
                f"Expected --one-vs-rest to be one of {', '.join(singles[:12])}, but got {one_vs_rest!r}."
                f"{nearest(one_vs_rest, singles)}"
            )
        rest = f"not {one_vs_rest}"
        positive = {label for label, names in named.items() if one_vs_rest in names}
        return [one_vs_rest if label in positive else label if label.lower() in missing else rest for label in labels], {}
    if multi_label == "first":
        return [found[label][0] if label in found else label for label in labels], {}
    single = {label: parts[0] for label, parts in found.items() if len(parts) == 1}
    return [single.get(label, label) for label in labels], {label: parts for label, parts in found.items() if len(parts) > 1}


def several_labels(raw: str, parts: Parts) -> tuple[str, str, str]:
    """Return kind, message and remedy for a label that names several classes."""
    remedy = (
        "An image is trained with one class: --exclude-bad leaves these rows out, --multi-label first takes the first label of "
        f"each, and {shlex.join(('--one-vs-rest', parts[0]))} trains images with that label against all others."
    )
    return "several labels", f"expected one label, got {raw!r}", remedy
