"""The same table in every format gives the same data; what cannot be read is refused in a sentence."""

import datetime
import gzip
import io
import zipfile
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.data.sources import load, text_table
from balanced_mixup.data.sources.cells import text_of
from balanced_mixup.data.sources.text_table import read_table
from balanced_mixup.errors import DataError, UsageError

FRAME = pd.DataFrame(
    {
        "image": ["a.png", "b.png", "c.png", "d.png"],
        "label": [0.0, 1.0, 2.0, np.nan],
        "patient": [17, 17, 18, 19],
        "reviewed": [True, False, True, True],
        "seen": pd.to_datetime(["2026-01-31", "2026-02-01", None, "2026-02-03 10:30"], format="mixed"),
    }
)


def write(frame, path):
    """Write a frame in the format of the suffix."""
    match "".join(path.suffixes):
        case ".xlsx":
            frame.to_excel(path, index=False)
        case ".parquet":
            frame.to_parquet(path)
        case ".tsv" | ".tsv.gz":
            frame.to_csv(path, index=False, sep="\t")
        case _:
            frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.gz", ".xlsx", ".parquet"])
def test_every_format_gives_the_same_data(tmp_path, suffix):
    path = write(FRAME, tmp_path / f"labels{suffix}")
    manifest = load(DataSettings(data=str(path), group_column="patient"))
    assert manifest.classes == ("0", "1", "2")
    assert manifest.labels.tolist() == [0, 1, 2, -1]
    assert manifest.groups.tolist() == ["17", "17", "18", "19"]
    (problem,) = manifest.problems
    assert (problem.kind, problem.rows) == ("no label", (3,))
    place = "row 4" if suffix == ".parquet" else "row 5" if suffix == ".xlsx" else "line 5"
    assert problem.message == f"labels{suffix} {place}: expected a class, got ''"
    assert "--exclude-bad" in problem.remedy
    table = read_table(path)
    assert table.column("reviewed") == ["True", "False", "True", "True"]
    assert table.column("seen")[2] == ""
    assert table.column("seen")[0].startswith("2026-01-31")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (17.0, "17"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1e300, "1e+300"),
        (float("nan"), ""),
        (float("inf"), "inf"),
        (None, ""),
        (True, "True"),
        (Decimal("17.00"), "17"),
        (Decimal("NaN"), ""),
        (" a ", "a"),
        (datetime.datetime(2026, 1, 31), "2026-01-31"),
        (datetime.datetime(2026, 1, 31, 10, 30), "2026-01-31 10:30:00"),
        (datetime.date(2026, 1, 31), "2026-01-31"),
    ],
)
def test_the_text_of_a_cell(value, text):
    assert text_of(value) == text


def test_places_are_made_on_demand(tmp_path):
    where = read_table(write(FRAME, tmp_path / "labels.csv")).where
    assert (len(where), where[0], list(where[2:])) == (4, "labels.csv line 2", ["labels.csv line 4", "labels.csv line 5"])


def bomb(path, member_bytes):
    """Write a spreadsheet that unpacks to much more than it has."""
    write(FRAME, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/more.xml", b" " * member_bytes)


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_table, "MOST_BYTES", 100_000)
    monkeypatch.setattr("balanced_mixup.data.sources.spreadsheet.MOST_BYTES", 100_000)
    monkeypatch.setattr("balanced_mixup.data.sources.parquet.MOST_BYTES", 100_000)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"image,label\n" + b"a,b\n" * 50_000))
    bomb(tmp_path / "a.xlsx", 200_000)
    pd.DataFrame({"image": [f"{k}" * 9 for k in range(50_000)], "label": "x"}).to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv.gz", "a.xlsx", "a.parquet"):
        assert (tmp_path / name).stat().st_size < 500_000
        with pytest.raises(DataError, match=rf"{name}: expected at most 97\.7 KiB, got"):
            read_table(tmp_path / name)


def test_too_many_cells_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_table, "MOST_CELLS", 1000)
    monkeypatch.setattr("balanced_mixup.data.sources.parquet.MOST_CELLS", 1000)
    frame = pd.DataFrame({"image": ["a"] * 600, "label": ["x"] * 600})
    for name in ("a.csv", "a.xlsx", "a.parquet"):
        with pytest.raises(DataError, match=r"expected at most 1,000 cells"):
            read_table(write(frame, tmp_path / name))


def test_a_row_number_beyond_a_sheet_is_refused(tmp_path, monkeypatch):
    """The rows between would be made up as blank ones, for hours."""
    monkeypatch.setattr("balanced_mixup.data.sources.spreadsheet._MOST_ROWS", 1000)
    path, stream = write(FRAME, tmp_path / "a.xlsx"), io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(stream, "w") as made:
        for name in archive.namelist():
            made.writestr(name, archive.read(name).replace(b'<row r="5"', b'<row r="2000000000"'))
    path.write_bytes(stream.getvalue())
    with pytest.raises(DataError, match=r"a\.xlsx: expected at most 1,000 rows"):
        read_table(path)


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".csv.gz"])
def test_a_damaged_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"labels{suffix}"
    form = {".xlsx": "xlsx", ".parquet": "Parquet", ".csv.gz": "gzip"}[suffix]
    whole = write(FRAME, path).read_bytes()
    for data in (b"", b"hello", whole[: len(whole) // 2], b"\xd0\xcf\x11\xe0" + bytes(500)):
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"labels{suffix}: (cannot be read as {form} \(|expected a line of column names)"):
            load(DataSettings(data=str(path)))


def test_no_rows(tmp_path):
    for name in ("a.xlsx", "a.parquet", "a.csv.gz"):
        with pytest.raises(DataError, match=rf"{name}: expected a line of column names and one row per image, got no rows"):
            read_table(write(FRAME.iloc[:0], tmp_path / name))


def test_nested_and_binary_columns(tmp_path):
    nested = pa.array([{"bytes": b"x", "path": "a"}] * 2)
    table = pa.table({"image": ["a", "b"], "label": ["x", "y"], "file": nested, "raw": pa.array([b"1", b"2"])})
    pq.write_table(table, tmp_path / "a.parquet")
    manifest = load(DataSettings(data=str(tmp_path / "a.parquet")))  # unused ones do no harm
    assert manifest.classes == ("x", "y")
    with pytest.raises(DataError, match=r"expected text or numbers in the column 'file', got struct<.*\n.*as text"):
        load(DataSettings(data=str(tmp_path / "a.parquet"), image_column="file"))
    with pytest.raises(DataError, match=r"the column 'raw', got binary"):
        load(DataSettings(data=str(tmp_path / "a.parquet"), label_column="raw"))


def test_categories_and_repeated_names_in_parquet(tmp_path):
    labels = pa.array(["x", None, "y"]).dictionary_encode()
    table = pa.Table.from_arrays([pa.array(["a", "b", "c"]), labels, labels], names=["image", "label", "again"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert load(DataSettings(data=str(tmp_path / "a.parquet"))).labels.tolist() == [0, -1, 1]
    pq.write_table(table.rename_columns(["image", "label", "label"]), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="has more than one column 'label'"):
        load(DataSettings(data=str(tmp_path / "b.parquet")))


def test_further_sheets_are_a_warning(tmp_path):
    with pd.ExcelWriter(tmp_path / "a.xlsx") as writer:
        FRAME.iloc[:3].to_excel(writer, sheet_name="2026", index=False)
        FRAME.to_excel(writer, sheet_name="2025", index=False)
        pd.DataFrame().to_excel(writer, sheet_name="empty", index=False)
    (problem,) = load(DataSettings(data=str(tmp_path / "a.xlsx"))).problems
    assert (problem.message, problem.fatal) == ("a.xlsx: the sheet '2026' is read, and '2025' not", False)


def test_a_spreadsheet_without_its_extra(tmp_path, monkeypatch):
    path = write(FRAME, tmp_path / "a.xlsx")
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r"A table in \.xlsx needs openpyxl.*pip install 'balanced-mixup\[xlsx\]'"):
        load(DataSettings(data=str(path)))
