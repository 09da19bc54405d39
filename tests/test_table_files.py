"""Tables that are written for people: what a spreadsheet must not run, what a reader must get back."""

import io
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from balanced_mixup import UsageError
from balanced_mixup.table_files import check_output, check_rows, csv_text, neutralised, restored, write_table

HOSTILE = ['=HYPERLINK("http://x")', "+1+1", "-2+3", "@SUM(A1)", "\tx", "\rx"]
ODD = ["a\rb.png", "a\nb.png", 'q"u,o.png', "'=a", "''+b", "'plain", "NA", "ü.png", "7"]


@pytest.mark.parametrize("cell", HOSTILE)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(cell):
    assert neutralised(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-1", "+1.5", "-1e-3", "a=b", "", "'plain", 3, -2.5, None])
def test_numbers_and_other_text_stay(cell):
    assert neutralised(cell) is cell


@given(st.text(alphabet="'=+-@\t\ra1.", max_size=6))
def test_the_reader_gets_back_what_was_written(cell):
    written = neutralised(cell)
    assert restored(written) == cell or written == cell
    assert len({neutralised(other) for other in (cell, "'" + cell)}) == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx"])
def test_every_format_gives_the_cells_back(tmp_path, suffix):
    names = HOSTILE + ODD
    table = pd.DataFrame({"image": names, "p_=x": np.linspace(-1, 1, len(names)).astype(np.float32)})
    path = tmp_path / f"t{suffix}"
    write_table(path, table)
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".xlsx": pd.read_excel}[suffix]
    options = {} if suffix == ".parquet" else {"keep_default_na": False, "dtype": {"image": str}}
    back = read(path, **options)
    cells = back["image"].tolist()
    if suffix != ".parquet":
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in cells)
        cells = [restored(cell) for cell in cells]
    # XML knows a carriage return in a cell as a new line.
    assert cells == ([name.replace("\r", "\n") for name in names] if suffix == ".xlsx" else names)
    assert back["p_=x"].to_numpy() == pytest.approx(table["p_=x"].to_numpy(), abs=1e-6)


def test_a_row_of_a_csv_is_one_row_whatever_its_cells():
    table = pd.DataFrame({"image": ["a\rb", "c"], "x": [1, 2]})
    assert csv_text(table) == 'image,x\r\n"a\rb",1\r\nc,2\r\n'
    assert csv_text(table.iloc[1:]) == "image,x\nc,2\n"
    assert pd.read_csv(io.StringIO(csv_text(table)))["image"].tolist() == ["a\rb", "c"]


def test_control_characters_do_not_stop_excel(tmp_path):
    write_table(tmp_path / "t.xlsx", pd.DataFrame({"image": ["a\x1b[31m.png"]}))
    assert pd.read_excel(tmp_path / "t.xlsx")["image"].tolist() == ["a�[31m.png"]


class TestBeforeTheWork:
    def test_another_suffix(self, tmp_path):
        with pytest.raises(UsageError, match=r"to end with \.csv, \.parquet or \.xlsx, but got 'p\.txt'"):
            check_output("p.txt")

    def test_an_existing_file(self, tmp_path):
        (tmp_path / "p.csv").write_text("mine")
        with pytest.raises(UsageError, match=r"exists\. Choose another `--out`, or add `--overwrite`"):
            check_output(tmp_path / "p.csv")
        assert check_output(tmp_path / "p.csv", overwrite=True) == tmp_path / "p.csv"

    def test_a_folder_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match=r"file' is a file\. Choose another `--out`"):
            check_output(tmp_path / "file" / "p.csv")
        with pytest.raises(UsageError, match="is a folder"):
            (tmp_path / "p.csv").mkdir()
            check_output(tmp_path / "p.csv")

    def test_a_folder_that_cannot_be_written_to(self, tmp_path):
        assert check_output(tmp_path / "new" / "p.csv") == tmp_path / "new" / "p.csv"
        assert not list(tmp_path.iterdir())
        if not Path("/proc/self").exists():
            pytest.skip("needs /proc")  # where nobody can make a file; tests may run as root, whom no mode stops
        with pytest.raises(UsageError, match=r"Expected to write '/proc/new/p\.csv', but .*\. Choose another `--out`"):
            check_output("/proc/new/p.csv")

    def test_more_rows_than_a_sheet_holds(self, tmp_path):
        with pytest.raises(UsageError, match=r"holds 1,048,575 rows, but 1,048,576"):
            check_rows(tmp_path / "p.xlsx", 2**20)
        check_rows(tmp_path / "p.csv", 2**20)

    def test_without_openpyxl(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
        with pytest.raises(UsageError, match=r"pip install 'balanced-mixup\[xlsx\]'"):
            check_output(tmp_path / "p.xlsx")
