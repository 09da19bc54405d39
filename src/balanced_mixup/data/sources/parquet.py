"""Tables in Parquet files."""

from pathlib import Path
from typing import Any

import numpy as np

from balanced_mixup.data.sources.cells import text_of
from balanced_mixup.data.sources.text_table import MOST_BYTES, MOST_CELLS, Places, TextTable, damaged, empty, too_large
from balanced_mixup.errors import BalancedMixupError, human_bytes


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
    group_bytes = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    size = sum(group.column(k).total_uncompressed_size for group in group_bytes for k in _leaves(file, unreadable))
    if size > MOST_BYTES:
        raise too_large(name, human_bytes(MOST_BYTES), human_bytes(size))
    content = file.read(columns=readable)
    positions = iter(range(content.num_columns))
    columns = [[""] * rows if field.name in unreadable else _cells(content.column(next(positions))) for field in schema]
    header = [column.strip() for column in schema.names]
    stripped = {column.strip(): kind for column, kind in unreadable.items()}
    return TextTable(name, header, columns, Places(name, "row", range(1, rows + 1)), [], stripped)


def _leaves(file: Any, unreadable: dict[str, str]) -> list[int]:
    """Return the positions of the stored columns that are read."""
    paths = [file.metadata.schema.column(k).path for k in range(file.metadata.num_columns)]
    return [k for k, path in enumerate(paths) if path not in unreadable and path.partition(".")[0] not in unreadable]


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_scalar(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return _is_scalar(kind.value_type)
    return _is_text(kind) or not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _cells(column: Any) -> list[str]:
    cells: list[str] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            texts = [*map(text_of, chunk.dictionary.to_pylist()), ""]
            cells += map(texts.__getitem__, np.asarray(chunk.indices.cast("int64").fill_null(len(texts) - 1)).tolist())
        else:
            cells += map(text_of, chunk.to_pylist())
    return cells
