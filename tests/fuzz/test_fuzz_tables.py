"""Damaged tables: whatever the bytes, a table is read or refused with a message, and neither hangs nor fills the memory."""

import gzip
import io
import random
import zipfile

import pandas as pd
import pytest
from mutate import mutate

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load
from balanced_mixup.errors import BalancedMixupError, describe

FRAME = pd.DataFrame(
    {
        "image": [f"{k // 2}_{'left' if k % 2 else 'right'}.png" for k in range(12)],
        "label": ["mild", "severe", "none", "mild, none"] * 3,
        "patient": [float(k // 2) for k in range(12)],
        "split": ["train", "val", "test"] * 4,
        "MEL": [1.0, 0.0] * 6,
        "NV": [0.0, 1.0] * 6,
        "seen": pd.date_range("2026-01-01", periods=12),
    }
)
SETTINGS = (
    {},
    {"group_column": "patient", "split_column": "split", "multi_label": "first"},
    {"label_columns": ("MEL", "NV"), "one_vs_rest": "NV"},
    {"group_pattern": "([^/]+)_(left|right)", "classes": ("none", "mild", "severe"), "ordinal": True},
)


def _written(suffix):
    stream = io.BytesIO()
    match suffix:
        case ".xlsx":
            FRAME.to_excel(stream, index=False)
        case ".parquet":
            FRAME.to_parquet(stream)
        case ".tsv":
            stream.write(FRAME.to_csv(index=False, sep="\t").encode())
        case _:
            stream.write(FRAME.to_csv(index=False).encode())
    return stream.getvalue()


def _mutated(suffix, data, rng):
    """Mutate a table; in a compressed one also what it contains, as damage of the container is soon found."""
    if suffix == ".csv.gz":
        return mutate(gzip.compress(data), rng) if rng.random() < 0.5 else gzip.compress(mutate(data, rng))
    if suffix == ".xlsx" and rng.random() < 0.7:
        stream = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(stream, "w") as made:
            chosen = rng.choice(archive.namelist())
            for name in archive.namelist():
                made.writestr(name, mutate(archive.read(name), rng) if name == chosen else archive.read(name))
        return stream.getvalue()
    return mutate(data, rng)


def _survives(folder, suffix, count, seed):
    rng = random.Random(f"{suffix} {seed}")
    data, path = _written(suffix), folder / f"labels{suffix}"
    read = refused = 0
    for number in range(count):
        path.write_bytes(_mutated(suffix, data, rng))
        try:
            manifest = load(DataSettings(data=str(path), **SETTINGS[number % len(SETTINGS)]))
        except BalancedMixupError as error:
            assert str(error)
            refused += 1
        else:
            assert describe(manifest.problems).isprintable() or manifest.problems
            assert len(manifest.labels) == len(manifest.images)
            assert all(0 <= row < len(manifest) for problem in manifest.problems for row in problem.rows)
            read += 1
    assert read and refused  # the mutations reach the reader as well as what comes after it


SUFFIXES = (".csv", ".tsv", ".csv.gz", ".xlsx", ".parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_table_is_read_or_refused(suffix, tmp_path):
    _survives(tmp_path, suffix, 60, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_many_damaged_tables_are_read_or_refused(suffix, tmp_path):
    _survives(tmp_path, suffix, 2000, seed=1)
