"""From labels as written to positions in an ordered list of classes; the same for every source."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.errors import Problem, UsageError, nearest

MISSING = frozenset({"", "nan", "na", "n/a", "null", "<na>"})  # how programs write a missing value, in lower case

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def canonical(label: str) -> str:
    """Return the one spelling of a label: " 2.0", "02" and "2" are the class "2"."""
    label = label.strip()
    return str(int(label.partition(".")[0])) if _WHOLE.fullmatch(label) else label


def encode(
    raw: Sequence[str],
    where: Sequence[str],
    classes: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    ordinal: bool = False,
) -> tuple[npt.NDArray[np.int64], tuple[str, ...], list[Problem]]:
    """Turn N labels as written into positions in the list of classes.

    Args:
        raw: The N labels as written.
        where: The place of each ("labels.csv line 7"), for messages.
        classes: All classes in their order; if None, the labels that occur, sorted (by value if all are integers).
        label_map: New names for labels, applied first.
        ordinal: The classes are ordinal, so that names need `classes` for their order.

    Returns:
        int64 (N,) with -1 for an invalid label, the K classes, and the problems.

    Raises:
        UsageError: `classes` contains a class twice.
    """
    renamed = {canonical(old): canonical(new) for old, new in (label_map or {}).items()}
    written = [canonical(label) for label in raw]
    labels = [renamed.get(label, label) for label in written]
    names = _sorted_names(labels) if classes is None else tuple(classes)
    positions = {canonical(name): position for position, name in enumerate(names)}
    if len(positions) < len(names):
        raise UsageError(f"Expected each class once, but --classes is {', '.join(names)}. Name each class once.")
    known = None if classes is None else names
    hints = {label: nearest(label, names) for label in set(labels) - positions.keys()}
    problems = [
        Problem(*_fault(label, raw[row], where[row], known, hints[label]), rows=(row,))
        for row, label in enumerate(labels)
        if label not in positions
    ]
    problems += _unused_renames(renamed, set(written))
    if len(names) < 2:
        found = ", ".join(map(repr, names)) or "none"
        remedy = "Check that the labels are the right ones; a classifier needs images of at least two classes."
        problems.append(Problem("too few classes", f"expected at least two classes, got {found}", remedy))
    if classes is None:
        problems += _suspicious_classes(names, ordinal)
    return np.array([positions.get(label, -1) for label in labels], np.int64), names, problems


def _sorted_names(labels: Iterable[str]) -> tuple[str, ...]:
    names = {label for label in labels if label.lower() not in MISSING and (_is_whole(label) or not _NUMBER.fullmatch(label))}
    return tuple(sorted(names, key=int) if all(map(_is_whole, names)) else sorted(names))


def _is_whole(label: str) -> bool:
    return _WHOLE.fullmatch(label) is not None


def _fault(label: str, raw: str, where: str, known: tuple[str, ...] | None, hint: str) -> tuple[str, str, str]:
    """Return kind, message and remedy for a label that is not a class; `known` are the declared classes."""
    got = repr(raw) if canonical(raw) == label else f"{label!r} (renamed from {raw!r})"
    if label.lower() in MISSING:
        return "no label", f"{where}: expected a class, got {got}", "Label the image, or remove the row."
    remedy = "Correct the label, rename it with --label-map, or declare all classes with --classes."
    if known is None:
        return "label is not a class", f"{where}: expected an integer or a name, got {got}", remedy
    some = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return "unknown label", f"{where}: expected one of {some}; got {got}.{hint}", remedy


def _unused_renames(renamed: Mapping[str, str], occurring: set[str]) -> list[Problem]:
    remedy = "Check the spelling, or remove it from the label map."
    return [
        Problem(
            "unused label map",
            f"expected a label {old!r}, to be renamed {new!r} by --label-map, but none occurs.{nearest(old, occurring)}",
            remedy,
            fatal=False,
        )
        for old, new in renamed.items()
        if old not in occurring
    ]


def _suspicious_classes(names: tuple[str, ...], ordinal: bool) -> list[Problem]:
    """Report suspicious classes among those inferred from the labels."""
    problems = []
    if ordinal and not all(map(_is_whole, names)):
        message = f"expected the order of the ordinal classes, as they are names: {', '.join(names[:12])}"
        problems.append(Problem("no class order", message, "Give the classes in their order with --classes a,b,c."))
    spelling: dict[str, str] = {}
    for name in names:
        other = spelling.setdefault(name.casefold(), name)
        if other != name:
            message = f"{other!r} and {name!r} differ only in case and count as two classes"
            remedy = "Merge them with --label-map if they are the same."
            problems.append(Problem("similar classes", message, remedy, fatal=False))
    return problems
