"""Tables in Parquet files."""

from pathlib import Path
from typing import Any

from balanced_mixup.data.sources.cells import text_of
from balanced_mixup.data.sources.text_table import MOST_BYTES, MOST_CELLS, Places, TextTable, damaged, empty, too_large
from balanced_mixup.errors import BalancedMixupError, human_bytes

_BATCH = 2**17  # rows that are read at once


def read_parquet(path: Path) -> TextTable:
    """Read the columns of a Parquet file that hold text, numbers, dates or booleans.

    Raises:
        DataError: It is damaged, has no rows, or unpacks to more than `MOST_BYTES` or `MOST_CELLS`.
    """
    import pyarrow.parquet as pq

    try:
        texts = [field.name for field in _schema(path) if _is_text(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:  # each text is decoded once however often it occurs
            return _read(file, path.name)
    except BalancedMixupError:
        raise
    except Exception as error:  # the errors of pyarrow and of decoding have no common base
        raise damaged(path.name, "Parquet", error) from error


def _schema(path: Path) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.schema_arrow


def _read(file: Any, name: str) -> TextTable:
    schema, rows = file.schema_arrow, file.metadata.num_rows
    if not rows:
        raise empty(name)
    unreadable = {field.name: str(field.type) for field in schema if not _is_scalar(field.type)}
    readable = [field.name for field in schema if field.name not in unreadable]
    if rows * max(len(readable), 1) > MOST_CELLS:
        raise too_large(name, f"{MOST_CELLS:,} cells", f"{rows * len(readable):,}")
    columns: list[list[str]] = [[] for _ in readable]
    size = 0
    # The sizes that the file states are not asked for: pyarrow ends the process where they are damaged.
    for batch in file.iter_batches(_BATCH, columns=readable):
        size += batch.nbytes
        if size > MOST_BYTES:
            raise too_large(name, human_bytes(MOST_BYTES), "more")
        for cells, column in zip(columns, batch.columns, strict=True):
            cells += _cells(column)
    header = [column.strip() for column in schema.names]
    read = iter(columns)
    filled = [[""] * rows if column in unreadable else next(read) for column in schema.names]
    if any(len(cells) != rows for cells in filled):
        raise damaged(name, "Parquet", f"it has other than the {rows:,} rows that it states")
    stripped = {column.strip(): kind for column, kind in unreadable.items()}
    return TextTable(name, header, filled, Places(name, "row", range(1, rows + 1)), [], stripped)


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_scalar(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _is_scalar(kind.value_type)
    return _is_text(kind) or not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _cells(column: Any) -> list[str]:
    if not hasattr(column, "dictionary"):
        return [*map(text_of, column.to_pylist())]
    texts = [*map(text_of, column.dictionary.to_pylist()), ""]
    return [texts[k] for k in column.indices.cast("int64").fill_null(len(texts) - 1).to_pylist()]
