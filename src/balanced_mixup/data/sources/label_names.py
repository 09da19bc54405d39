"""From labels as written to positions in an ordered list of classes; the same for every source."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.sources.distinct import distinct
from balanced_mixup.data.sources.label_typos import typos
from balanced_mixup.data.sources.several_labels import MultiLabel, find_several, resolve, several_labels
from balanced_mixup.errors import Problem, UsageError, nearest

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "<na>"})  # how programs write a missing value, in lower case
_MOST_HINTS = 1000  # each is compared with every class

UNUSED_RENAME = "unused label map"

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))  # soft hyphen, zero-width characters


def canonical(label: str) -> str:
    """Return the one spelling of a label: " 2.0", "02" and "2" are the class "2".

    Letters and accents are composed (Unicode's NFC), and characters without width are removed.
    """
    return _plain(label if label.isascii() else unicodedata.normalize("NFC", label.translate(_INVISIBLE)))


def told_apart(spelling: str, name: str) -> str:
    """Return a spelling in quotes so that it is seen how it differs from `name`, the same in its one spelling.

    Characters that `name` lacks, but for ASCII, are given by their code points: invisible ones, and forms that look the same.
    """
    return "".join(
        letter if letter.isascii() or letter in name else letter.encode("unicode_escape").decode() for letter in repr(spelling)
    )


def _plain(label: str) -> str:
    label = label.strip()
    return str(int(label.partition(".")[0])) if _WHOLE.fullmatch(label) else label


def encode(
    raw: Sequence[str],
    where: Sequence[str],
    classes: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    ordinal: bool = False,
    *,
    multi_label: MultiLabel | None = None,
    one_vs_rest: str | None = None,
    several: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[npt.NDArray[np.int64], tuple[str, ...], list[Problem]]:
    """Turn N labels as written into positions in the list of classes.

    Args:
        raw: The N labels as written.
        where: The place of each ("labels.csv line 7"), for messages.
        classes: All classes in their order; if None, the labels that occur, sorted (by value if all are integers).
        label_map: New names for labels, applied first.
        ordinal: The classes are ordinal, so that names need `classes` for their order.
        multi_label: What to do with a label that names several classes ("a, b"), which is a problem if None.
        one_vs_rest: The class that is told from all others: a label counts as it if it is among the classes that it names.
        several: The classes that labels name, where that is known; else they are found by separators.

    Returns:
        int64 (N,) with -1 for an invalid label, the K classes, and the problems.

    Raises:
        UsageError: `classes` contains a class twice, or there is no class `one_vs_rest`.
    """
    renamed = {canonical(old): new for old, new in (label_map or {}).items()}
    codes, spellings = distinct(raw)
    written = [canonical(spelling) for spelling in spellings]
    shown = [_plain(renamed.get(label, spelling)) for label, spelling in zip(written, spellings, strict=True)]
    labels = [canonical(name) for name in shown]
    declared = None if classes is None else {canonical(name) for name in classes}
    known = {label: (several or {}).get(spelling, ()) for label, spelling in zip(labels, spellings, strict=True)}
    found = find_several(labels, declared, known, lambda part: canonical(renamed.get(canonical(part), part)))
    spelt = _misspelt(labels, np.bincount(codes, minlength=len(labels)).tolist(), found) if classes is None else []
    labels, refused = resolve(labels, found, multi_label, one_vs_rest and canonical(one_vs_rest), MISSING, declared)
    inferred, joined = _names(labels, shown, refused)
    if one_vs_rest is not None:
        inferred = tuple(sorted(inferred, key=lambda name: name == canonical(one_vs_rest)))
    names = inferred if classes is None else tuple(classes)
    positions = {canonical(name): position for position, name in enumerate(names)}
    if len(positions) < len(names):
        raise UsageError(f"Expected each class once, but --classes is {', '.join(names)}. Name each class once.")
    position = np.array([positions.get(label, -1) for label in labels], np.int64)[codes]
    faults = _faults(labels, spellings, positions.keys(), refused, None if classes is None else names)
    problems = []
    for row in np.flatnonzero(position < 0).tolist():
        kind, expected, remedy = faults[codes[row]]
        problems.append(Problem(kind, f"{where[row]}: {expected}", remedy, (row,)))
    problems += _unused_renames(renamed, set(written))
    if len(names) < 2:
        only = ", ".join(map(repr, names)) or "none"
        remedy = "Check that the labels are the right ones; a classifier needs images of at least two classes."
        problems.append(Problem("too few classes", f"expected at least two classes, got {only}", remedy))
    if classes is None:
        problems += [*_suspicious_classes(names, ordinal), *joined, *spelt]
    return position, names, problems


def _misspelt(labels: Sequence[str], images: Sequence[int], several: Collection[str]) -> list[Problem]:
    """Return the misspellings among the distinct labels, of which each has some images."""
    counts: Counter[str] = Counter()
    for label, count in zip(labels, images, strict=True):
        if label not in several and label.lower() not in MISSING:
            counts[label] += count
    return typos(counts)


def _names(labels: Sequence[str], shown: Sequence[str], refused: Mapping[str, object]) -> tuple[tuple[str, ...], list[Problem]]:
    """Return the classes that occur, sorted, and a warning for each that is written with different characters.

    Args:
        labels: The distinct labels.
        shown: Each as it was written. A class that is always written in one way keeps this spelling.
        refused: Labels that are no classes.
    """
    spellings: dict[str, dict[str, None]] = {}
    for label, written in zip(labels, shown, strict=True):
        if label not in refused and label.lower() not in MISSING and (_is_whole(label) or not _NUMBER.fullmatch(label)):
            spellings.setdefault(label, {})[written if canonical(written) == label else label] = None
    names = {label if len(several) > 1 else next(iter(several)) for label, several in spellings.items()}
    remedy = "Write each class in one way."
    problems = [
        Problem(
            "class written in several ways",
            f"{' and '.join(told_apart(spelling, label) for spelling in several)} are one class",
            remedy,
            fatal=False,
        )
        for label, several in spellings.items()
        if len(several) > 1
    ]
    return sorted_classes(names), problems


def sorted_classes(names: Collection[str]) -> tuple[str, ...]:
    """Return classes in the order that they have without a declared one: by value if all are whole numbers."""
    return tuple(sorted(names, key=int) if all(map(_is_whole, names)) else sorted(names))


def _is_whole(label: str) -> bool:
    return _WHOLE.fullmatch(label) is not None


def _faults(
    labels: Sequence[str],
    spellings: Sequence[str],
    classes: Collection[str],
    refused: Mapping[str, tuple[str, ...]],
    declared: tuple[str, ...] | None,
) -> dict[int, tuple[str, str, str]]:
    """Return kind, message and remedy by position for each of the distinct labels that is no class."""
    faults = {}
    for k, (label, raw) in enumerate(zip(labels, spellings, strict=True)):
        if label in refused:
            faults[k] = several_labels(raw, refused[label])
        elif label not in classes:
            hint = nearest(label, declared or ()) if len(faults) < _MOST_HINTS else ""
            faults[k] = _fault(label, raw, declared, hint)
    return faults


def _fault(label: str, raw: str, declared: tuple[str, ...] | None, hint: str) -> tuple[str, str, str]:
    got = repr(raw) if canonical(raw) == label else f"{label!r} (renamed from {raw!r})"
    if label.lower() in MISSING:
        remedy = "Label the image, or remove the row; training with --exclude-bad leaves such rows out."
        return "no label", f"expected a class, got {got}", remedy
    remedy = "Correct the label, rename it with --label-map, or declare all classes with --classes."
    if declared is None:
        return "label is not a class", f"expected an integer or a name, got {got}", remedy
    some = ", ".join(declared[:12]) + (", ..." if len(declared) > 12 else "")
    return "unknown label", f"expected one of {some}; got {got}.{hint}", remedy


def _unused_renames(renamed: Mapping[str, str], occurring: set[str]) -> list[Problem]:
    remedy = "Check the spelling, or remove it from the label map."
    return [
        Problem(
            UNUSED_RENAME,
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
