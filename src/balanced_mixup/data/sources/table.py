"""A table in a text file as cells of stripped text, each row with the number of its line in the file."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from balanced_mixup.errors import DataError, Problem


@dataclass
class Table:
    """N rows of cells under a header; `where` says the file and line of each row, for messages."""

    name: str
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def column(self, name: str) -> list[str]:
        """Return the N cells of the column `name`."""
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def append(self, cells: list[str], line: int) -> None:
        """Take in the header or one row. A row that is too long has lost its columns; a short one gets empty cells."""
        if not self.header:
            self.header = cells
            return
        width = len(self.header)
        if any(cells[width:]):
            message = f"{self.name} line {line}: expected {width} cells, got {len(cells)}"
            remedy = "Put quotes around cells that contain the separator."
            self.problems.append(Problem("malformed row", message, remedy, (len(self.rows),)))
        self.rows.append(cells[:width] + [""] * (width - len(cells)))
        self.where.append(f"{self.name} line {line}")


def read_table(path: Path) -> Table:
    """Read a table in UTF-8 with a header, separated by commas, semicolons or tabs (whichever the header has most of).

    Raises:
        DataError: The file cannot be read, is no text, has unbalanced quotes, or has no rows.
    """
    text = _text(path)
    header = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=header.count), strict=True)
    table = Table(path.name)
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                table.append(cells, line)
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"{path.name}: the row that starts in line {line} cannot be read ({error})"
        raise DataError([Problem("malformed table", message, "Check the quotes around the cells of this row.")]) from error
    if not table.rows:
        message = f"{path.name}: expected a line of column names and one row an image, got no rows"
        raise DataError([Problem("empty table", message, "Check that this is the right file and that it is complete.")])
    return table


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
