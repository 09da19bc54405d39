"""One-hot tables: a column for each class, with a 1 in the column of the image's class and 0 in the others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.sources.distinct import distinct
from balanced_mixup.data.sources.text_table import TextTable
from balanced_mixup.errors import Problem
from balanced_mixup.words import listed

_BLANK, _WRONG = 2, 3
_VALUES = {"1": 1, "1.0": 1, "true": 1, "yes": 1, "x": 1, "0": 0, "0.0": 0, "false": 0, "no": 0, "": _BLANK}  # in lower case
_ENOUGH = 0.9  # of the rows have one 1 in a table that looks one-hot
_FEWEST = 3  # columns; two that are each other's opposite need not be classes


def one_hot_labels(
    table: TextTable, names: Sequence[str], zero: str | None = None
) -> tuple[list[str], dict[str, tuple[str, ...]], list[Problem]]:
    """Return the label of each row, the classes that a label with several 1 names, and the problems of single rows.

    Args:
        table: N rows.
        names: Its K label columns.
        zero: Label of a row of zeros, which is a problem if None. A blank row is in any case.

    Returns:
        N names of columns, "a, b" for several ones and "" for none; the columns of each label of several; the problems of the
        rows without a label.
    """
    columns = [table.column(name) for name in names]
    matrix = np.stack([_values(cells) for cells in columns], axis=1)
    patterns, pattern = np.unique(matrix, axis=0, return_inverse=True)
    labels, several, faults = [], {}, {}
    for k, values in enumerate(patterns.tolist()):
        parts = tuple(name for name, value in zip(names, values, strict=True) if value == 1)
        if _WRONG in values:
            faults[k] = values.index(_WRONG)
        elif not parts and (zero is None or set(values) == {_BLANK}):
            faults[k] = -1
        labels.append("" if k in faults else ", ".join(parts) or zero or "")
        if len(parts) > 1:
            several[", ".join(parts)] = parts
    pattern = pattern.reshape(-1)
    no_one = {-1: _no_one(names, table)} if -1 in faults.values() else {}
    problems = []
    for row in np.flatnonzero(np.isin(pattern, list(faults))).tolist():
        column = faults[pattern[row]]
        fault = no_one.get(column) or _not_binary(names[column], columns[column][row])
        problems.append(Problem(fault[0], f"{table.where[row]}: {fault[1]}", fault[2], (row,)))
    return [labels[k] for k in pattern.tolist()], several, problems


def _no_one(names: Sequence[str], table: TextTable) -> tuple[str, str, str]:
    """Return kind, message and remedy for a row without a 1."""
    block = suggested_columns(table)
    remedy = ""
    if set(names) < set(block):
        others = [name for name in block if name not in names]
        look = "looks like a further class" if len(others) == 1 else "look like further classes"
        remedy = f"{listed(others, 12)} {look}: add --label-columns {','.join((*names, *others))} to have them as classes. "
    remedy += (
        "Label the image, or remove the row: --exclude-bad leaves such rows out, --one-vs-rest takes a row of zeros as one of "
        "the others."
    )
    return "no label", f"expected a 1 in one of the label columns, got none in {', '.join(names[:12])}", remedy


def _not_binary(name: str, cell: str) -> tuple[str, str, str]:
    """Return kind, message and remedy for a cell that is neither 1 nor 0."""
    remedy = "Correct the cell, or name other columns with --label-columns; --exclude-bad leaves such rows out."
    return "not 1 or 0", f"expected 1 or 0 in the column {name!r}, got {cell!r}", remedy


def _values(cells: Sequence[str]) -> npt.NDArray[np.int8]:
    """Return the cells as 0 and 1, and other numbers for blank and any other ones."""
    codes, spellings = distinct(cells)
    return np.array([_VALUES.get(cell.lower(), _WRONG) for cell in spellings], np.int8)[codes]


def suggested_columns(table: TextTable) -> tuple[str, ...]:
    """Return the neighbouring columns that look one-hot; () if there are none."""
    blocks: list[list[tuple[str, npt.NDArray[np.int8]]]] = [[]]
    for name, cells in zip(table.header, table.columns, strict=True):
        values = _values(cells[:1000])
        if (values != _WRONG).all() and (values == 1).any() and table.header.count(name) == 1 and "," not in name:
            blocks[-1].append((name, _values(cells)))
        elif blocks[-1]:
            blocks.append([])
    best: tuple[str, ...] = ()
    for block in blocks:
        for start in range(len(block)):
            ones = np.zeros(len(table), np.int64)
            for stop, (_, values) in enumerate(block[start:], start + 1):
                ones += values == 1
                if stop - start >= max(_FEWEST, len(best) + 1) and (ones == 1).mean() >= _ENOUGH:
                    best = tuple(name for name, _ in block[start:stop])
    return best
