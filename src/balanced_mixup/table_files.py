"""Tables for people and their programs: CSV, Parquet or Excel, by the suffix of the file.

A spreadsheet runs a cell that begins with =, +, -, @, a tab or a carriage return as a formula (OWASP: CSV injection), and the
name of an image comes from outside. In CSV and Excel such a cell gets an apostrophe in front, unless it is a number; one that
has apostrophes before such a character gets another, so that `restored` always gives back what was there. Parquet holds
every cell as it is.
"""

import math
import re
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from balanced_mixup.errors import UsageError
from balanced_mixup.extras import require
from balanced_mixup.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".xlsx")

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # Excel's format turns a carriage return into a new line
_NOT_IN_EXCEL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_EXCEL_ROWS = 2**20 - 1  # below the header


def neutralised(cell: object) -> object:
    """Return a cell that a spreadsheet takes for text: with an apostrophe before what would be a formula."""
    if not isinstance(cell, str) or _FORMULA.match(cell) is None or _is_number(cell):
        return cell
    return "'" + cell


def restored(cell: str) -> str:
    """Return the cell that `neutralised` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and cell.strip() == cell
    except ValueError:
        return False


def check_output(out: Path | str, *, overwrite: bool = False) -> Path:
    """Check that a table can be written, before the work for it begins; nothing stays on disk.

    Args:
        out: The file.
        overwrite: An existing file may be replaced.

    Returns:
        Its path.

    Raises:
        UsageError: The suffix is unknown, the file exists, its folder cannot be written to, or `openpyxl` is missing.
    """
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"Expected `out` to end with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, but got {str(out)!r}.")
    if path.suffix.lower() == ".xlsx":
        require("An Excel file", "xlsx", "openpyxl")
    if path.is_dir():
        raise UsageError(f"Expected `out` to be a file, but {str(out)!r} is a folder. Name a file in it.")
    if path.exists() and not overwrite:
        raise UsageError(
            f"Expected `out` to be a new file, but {str(out)!r} exists. Choose another `--out`, or add `--overwrite`."
        )
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise UsageError(f"Expected to write {str(out)!r}, but {str(folder)!r} is a file. Choose another `--out`.")
    try:
        # Tried, as permissions alone do not tell; in a new folder, as the missing ones of the path will be.
        with TemporaryDirectory(prefix=".balanced-mixup-", dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"Expected to write {str(out)!r}, but {error.strerror or error}. Choose another `--out`.") from None
    return path


def check_rows(out: Path, rows: int) -> None:
    """Check that so many rows fit into the file. UsageError where they do not."""
    if out.suffix.lower() == ".xlsx" and rows > _EXCEL_ROWS:
        raise UsageError(
            f"An Excel sheet holds {_EXCEL_ROWS:,} rows, but {rows:,} are to be written to {str(out)!r}. Use .parquet or .csv."
        )


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table without its index as its suffix says, atomically; floats with six decimals in CSV.

    Raises:
        RunError: It cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        content = table.to_parquet(index=False)
    elif suffix == ".xlsx":
        content = _excel(table)
    else:
        content = csv_text(table, float_format="%.6f").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def csv_text(table: "pd.DataFrame", float_format: str | None = None) -> str:
    """Return a table without its index as CSV that a spreadsheet reads as text and numbers alone."""
    safe = _neutralised(table)
    texts = [safe.iloc[:, position].astype(str) for position in _text_columns(safe)]
    # An unquoted carriage return ends the row for most readers; Python quotes it where rows end with one.
    returns = any(text.str.contains("\r", regex=False).any() for text in texts) or any("\r" in str(name) for name in safe)
    text: str = safe.to_csv(index=False, float_format=float_format, lineterminator="\r\n" if returns else "\n")
    return text


def _neutralised(table: "pd.DataFrame") -> "pd.DataFrame":
    safe = table.rename(columns=neutralised)
    for position in _text_columns(safe):
        safe.isetitem(position, safe.iloc[:, position].astype(object).map(neutralised).to_numpy(object))
    return safe


def _text_columns(table: "pd.DataFrame") -> list[int]:
    return [position for position, dtype in enumerate(table.dtypes) if dtype.kind not in "biuf"]


def _excel(table: "pd.DataFrame") -> bytes:
    def without_control(cell: object) -> object:
        return _NOT_IN_EXCEL.sub("�", cell) if isinstance(cell, str) else cell

    safe = _neutralised(table).rename(columns=without_control)
    for position in _text_columns(safe):
        safe.isetitem(position, safe.iloc[:, position].map(without_control).to_numpy(object))
    buffer = BytesIO()
    safe.to_excel(buffer, index=False, engine="openpyxl")
    return buffer.getvalue()
