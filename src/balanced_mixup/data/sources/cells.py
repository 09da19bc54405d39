"""The text of a typed cell: as a CSV written by the same program would have it, but without the traces of its type."""

import datetime
import math
from decimal import Decimal

_EXACT = 2**53  # from here on a float does not hold every whole number


def text_of(value: object) -> str:
    """Return a value of a spreadsheet or a Parquet file as stripped text.

    A whole number is written as one, whatever its type (17.0 is "17"), a day without a time as 2026-01-31; None and NaN are "".
    """
    if isinstance(value, str):
        return value.strip()
    if value is None or value != value:  # NaN, NaT
        return ""
    if isinstance(value, float | Decimal) and math.isfinite(value) and -_EXACT < value < _EXACT and value == int(value):
        return str(int(value))
    if isinstance(value, datetime.datetime):
        midnight = value.tzinfo is None and value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    return str(value).strip()
