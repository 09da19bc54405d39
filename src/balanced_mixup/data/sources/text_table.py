"""A table in a text file as cells of stripped text; each row knows its line in the file."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from balanced_mixup.errors import DataError, Problem


@dataclass(frozen=True)
class TextTable:
    """N rows of cells under a header; `where` is the file and line of each row, for messages."""

    name: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def column(self, name: str) -> list[str]:
        """Return the N cells of the column `name`."""
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def records(self) -> Iterator[tuple[dict[str, str], str]]:
        """Yield each row as a mapping from column to cell, and where it is."""
        for row, where in zip(self.rows, self.where, strict=True):
            yield dict(zip(self.header, row, strict=True)), where


def read_table(path: Path) -> TextTable:
    """Read a table in UTF-8 with a header, separated by commas, semicolons or tabs (whichever the header has most of).

    A row that is too long cannot be assigned to columns, which is a problem; one that is too short gets empty cells.

    Raises:
        DataError: The file cannot be read, is not text, has unbalanced quotes, or has no rows.
    """
    text = _text(path)
    delimiter = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    table, line = None, 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and table is None:
                table = TextTable(path.name, cells)
            elif any(cells) and table is not None:
                _append(table, cells, f"{path.name} line {line}")
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"{path.name}: the row that starts in line {line} cannot be read ({error})"
        raise DataError([Problem("malformed table", message, "Check the quotes around the cells of this row.")]) from error
    if table is None or not table.rows:
        message = f"{path.name}: expected a line of column names and one row per image, got no rows"
        raise DataError([Problem("empty table", message, "Check that this is the right file and that it is complete.")])
    return table


def _append(table: TextTable, cells: list[str], where: str) -> None:
    width = len(table.header)
    if any(cells[width:]):
        message = f"{where}: expected {width} cells, got {len(cells)}"
        remedy = "Put quotes around cells that contain the separator."
        table.problems.append(Problem("malformed row", message, remedy, (len(table.rows),)))
    table.rows.append(cells[:width] + [""] * (width - len(cells)))
    table.where.append(where)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError([Problem("unreadable table", str(error), "Check the file's permissions and the disk.")]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path.name} line {line}: expected UTF-8 text, got the byte 0x{data[error.start]:02x}"
        raise DataError([Problem("unreadable table", message, "Save the table as CSV in UTF-8.")]) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
