"""A table in a file as cells of stripped text, whatever its format; each row knows its place in the file."""

import csv
import gzip
import io
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import overload

from balanced_mixup.errors import DataError, Problem, human_bytes

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".xlsx", ".parquet")

Row = tuple[int, list[str]]  # its number in the file, and its cells, stripped

MOST_BYTES = 2**30  # unpacked; a small file may unpack to more than the memory
MOST_CELLS = 50_000_000
_CHUNK = 10_000  # rows that are turned into columns at once
_SHARED = 200_000  # different cells that are kept once however often they occur


@dataclass(frozen=True)
class Places(Sequence[str]):
    """The place of each row, "labels.csv line 7", made when it is needed."""

    name: str
    unit: str
    numbers: Sequence[int]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "Places": ...
    def __getitem__(self, row: int | slice) -> "str | Places":
        """Return the place of a row, or the places of some."""
        if isinstance(row, slice):
            return Places(self.name, self.unit, self.numbers[row])
        return f"{self.name} {self.unit} {self.numbers[row]}"


@dataclass(frozen=True)
class TextTable:
    """N rows of cells under a header.

    Args:
        name: Of the file.
        header: Names of the columns.
        columns: The N cells of each; "" for an empty one.
        where: File and line of each row, for messages.
        problems: What is wrong with single rows.
        unreadable: Columns whose cells are no text, number or date, by name with their type; their cells are "".
    """

    name: str
    header: list[str]
    columns: list[list[str]]
    where: Places
    problems: list[Problem] = field(default_factory=list)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.where)

    def column(self, name: str) -> list[str]:
        """Return the N cells of the column `name`. DataError if it holds lists, binary data or the like."""
        if name in self.unreadable:
            message = f"{self.name}: expected text or numbers in the column {name!r}, got {self.unreadable[name]}"
            raise DataError([Problem("unreadable column", message, "Write this column as text.")])
        return self.columns[self.header.index(name)]

    def records(self) -> Iterator[tuple[dict[str, str], str]]:
        """Yield each row as a mapping from column to cell, and where it is."""
        for cells, where in zip(zip(*self.columns, strict=True), self.where, strict=True):
            yield dict(zip(self.header, cells, strict=True)), where


def is_table(data: str | Path) -> bool:
    """Return whether a path is that of a table, by its suffix."""
    return Path(data).name.lower().endswith(SUFFIXES)


def read_table(path: Path) -> TextTable:
    """Read a table with a header by its suffix: .xlsx, .parquet, or else text, which may be compressed (.gz).

    Text is UTF-8, separated by commas, semicolons or tabs (whichever the header has most of). A row that is too long cannot be
    assigned to columns, which is a problem; one that is too short gets empty cells.

    Raises:
        DataError: The file cannot be read, is not of its format, has no rows, or unpacks to more than `MOST_BYTES`.
        UsageError: The extra for its format is not installed.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        from balanced_mixup.data.sources.parquet import read_parquet

        return read_parquet(path)
    if name.endswith(".xlsx"):
        from balanced_mixup.data.sources.spreadsheet import read_spreadsheet

        return read_spreadsheet(path)
    return from_rows(path.name, "line", _text_rows(path))


def from_rows(name: str, unit: str, rows: Iterable[Row]) -> TextTable:
    """Return the table of rows, the first of which that is not blank is the header; blank rows are skipped.

    Raises:
        DataError: There are no rows, or more than `MOST_CELLS` cells.
    """
    rows = _not_blank(name, rows)
    _, header = next(rows, (0, []))
    numbers = array("q")
    table = TextTable(name, header, [[] for _ in header], Places(name, unit, numbers))
    width = len(header)
    known: dict[str, str] = {}
    while chunk := list(islice(rows, _CHUNK)):
        for k, (number, cells) in enumerate(chunk):
            if len(cells) != width:
                if any(cells[width:]):
                    message = f"{name} {unit} {number}: expected {width} cells, got {len(cells)}"
                    remedy = "Put quotes around cells that contain the separator."
                    table.problems.append(Problem("malformed row", message, remedy, (len(numbers) + k,)))
                chunk[k] = (number, cells[:width] + [""] * (width - len(cells)))
        numbers.extend([number for number, _ in chunk])
        share: Callable[[str, str], str] = known.setdefault if len(known) < _SHARED else known.get
        for column, more in zip(table.columns, zip(*(cells for _, cells in chunk), strict=True), strict=True):
            column += [share(cell, cell) for cell in more]
    if not numbers:
        raise empty(name)
    return table


def _not_blank(name: str, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that are not blank; counts all of them."""
    count = 0
    for row in rows:
        cells = row[1]
        count += len(cells) or 1
        if count > MOST_CELLS:
            raise too_large(name, f"{MOST_CELLS:,} cells", "more")
        if any(cells):
            yield row


def empty(name: str) -> DataError:
    """Return the error for a table without rows."""
    message = f"{name}: expected a line of column names and one row per image, got no rows"
    return DataError([Problem("empty table", message, "Check that this is the right file and that it is complete.")])


def damaged(name: str, form: str, error: object) -> DataError:
    """Return the error for a file that is not of the format of its suffix."""
    message = f"{name}: cannot be read as {form} ({error or type(error).__name__})"
    return DataError([Problem("unreadable table", message, "Save the table again, or save it as CSV in UTF-8.")])


def too_large(name: str, most: str, found: str) -> DataError:
    """Return the error for a file that holds or unpacks to too much."""
    remedy = "Save the columns that are needed alone, and check that this is the right file."
    return DataError([Problem("table too large", f"{name}: expected at most {most}, got {found}", remedy)])


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked if its name ends in .gz.

    Raises:
        DataError: It cannot be read, or unpacks to more than `MOST_BYTES`.
    """
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise damaged(path.name, "gzip", error) from error
    except OSError as error:
        raise DataError([Problem("unreadable table", str(error), "Check the file's permissions and the disk.")]) from error
    if len(data) > MOST_BYTES:
        raise too_large(path.name, human_bytes(MOST_BYTES), "more")
    return data


def _text_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a text file with the line in which each starts."""
    data = read_bytes(path)
    try:
        start = data.decode("utf-8-sig")[:65536].lstrip()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path.name} line {line}: expected UTF-8 text, got the byte 0x{data[error.start]:02x}"
        raise DataError([Problem("unreadable table", message, "Save the table as CSV in UTF-8.")]) from error
    delimiter = max(",;\t", key=start.replace("\r", "\n").partition("\n")[0].count)
    # The universal newlines of a text stream: \r\n and \r are line ends, too.
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig"), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"{path.name}: the row that starts in line {line} cannot be read ({error})"
        raise DataError([Problem("malformed table", message, "Check the quotes around the cells of this row.")]) from error
