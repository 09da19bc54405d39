"""Tables in Excel's format, .xlsx: the first sheet, with the values that formulas had when the file was saved."""

import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

from balanced_mixup.data.sources.cells import text_of
from balanced_mixup.data.sources.text_table import MOST_BYTES, Row, TextTable, damaged, from_rows, too_large
from balanced_mixup.errors import BalancedMixupError, Problem, human_bytes
from balanced_mixup.extras import require

_MOST_ROWS = 2**20  # of a sheet in Excel; a row number beyond it is damage, and openpyxl would fill the gap with blank rows


def read_spreadsheet(path: Path) -> TextTable:
    """Read the first sheet of an .xlsx file; further sheets that are not empty are a warning.

    Raises:
        DataError: It is damaged, protected, has no rows, or unpacks to more than `MOST_BYTES`.
        UsageError: openpyxl is not installed.
    """
    require("A table in .xlsx", "xlsx", "openpyxl")
    import openpyxl

    try:
        _check_size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles, drop-down lists and the like, which do not matter here
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                sheets = book.worksheets
                if not sheets:
                    raise damaged(path.name, "xlsx", "it has no sheet")
                table = from_rows(path.name, "row", _rows(sheets[0], path.name))
                more = [sheet.title for sheet in sheets[1:] if any(any(cells) for _, cells in _rows(sheet, path.name))]
                first = sheets[0].title
            finally:
                book.close()
    except BalancedMixupError:
        raise
    except Exception as error:  # openpyxl, zipfile and the XML parser each have their own errors for a damaged file
        raise damaged(path.name, "xlsx", error) from error
    if more:
        message = f"{path.name}: the sheet {first!r} is read, and {', '.join(map(repr, more))} not"
        table.problems.append(Problem("several sheets", message, "Move the table to the first sheet if needed.", fatal=False))
    return table


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES:
        raise too_large(path.name, human_bytes(MOST_BYTES), human_bytes(size))


def _rows(sheet: object, name: str) -> Iterator[Row]:
    sheet.reset_dimensions()  # type: ignore[attr-defined]  # the stated ones may be wrong
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):  # type: ignore[attr-defined]
        if number > _MOST_ROWS:
            raise too_large(name, f"{_MOST_ROWS:,} rows", "more")
        yield number, [text_of(value) for value in values]
