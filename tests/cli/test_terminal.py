"""The terminal: no control characters of names reach it, and it need not be there."""

import logging
import subprocess
import sys

import pytest
from rich.text import Text

from balanced_mixup import Run
from balanced_mixup.cli import run
from balanced_mixup.cli.console import Console
from balanced_mixup.cli.show import print_scores
from balanced_mixup.errors import printable, shown
from balanced_mixup.runs.log import log_file
from balanced_mixup.runs.run_folder import RunFolder

ESC = "\x1b]0;title\x07\x1b[2J\r\x9b1m\u202etxt.exe"
SHOWN = r"\x1b]0;title\x07\x1b[2J\r\x9b1m\u202etxt.exe"


def test_control_characters_are_escapes():
    assert printable(ESC) == SHOWN
    assert printable("naïve\ttab\nline 😀") == "naïve\ttab\nline 😀"


def test_names_in_errors_and_messages(capsys):
    assert run(["check", "--data", f"{ESC}.csv"]) == 2
    logging.getLogger("balanced_mixup").warning("The class %s is rare.", ESC)
    said = capsys.readouterr().err
    assert "\x1b" not in said and "\x9b" not in said and "\u202e" not in said
    assert SHOWN in said.replace("\n", "")


def test_names_in_tables(tiny_run, capsys):
    scores = Run.open(tiny_run).scores["test"]
    object.__setattr__(scores, "per_class", {ESC: next(iter(scores.per_class.values()))})
    print_scores(scores, f"images of {ESC}", ordinal=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out and out.replace("\n", "").count("\\x1b]0;title") == 2


def test_a_line_with_a_long_name_is_whole(capsys, monkeypatch):
    """Escapes are longer than what they stand for: lines are broken as they are printed."""
    monkeypatch.setenv("COLUMNS", "60")
    name = "esc\x1b[31mmissing\x1b]0;pwned.jpg"
    text = Text()
    text.append(f"{name}: no such file (names/{name})\n", style="red").append("the end")
    Console().print(text)
    shown = r"esc\x1b[31mmissing\x1b]0;pwned.jpg"
    out = capsys.readouterr().out
    assert "".join(out.split()) == f"{shown}:nosuchfile(names/{shown})theend"
    assert max(map(len, out.splitlines())) <= 60


def test_names_in_the_log_of_a_run(tmp_path):
    with log_file(RunFolder(tmp_path)):
        logging.getLogger("balanced_mixup").info("The class %s is rare.", ESC)
    assert f"The class {SHOWN} is rare." in (tmp_path / "train.log").read_text()


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full", ">&- 2>&-", "2>&- >/dev/full"])
def test_closed_standard_streams(closing, tmp_path):
    """`nohup` and services start programs so; the numbers of the closed streams must not become those of files."""
    code = "from balanced_mixup.cli import main; main()"
    command = f'"{sys.executable}" -c "{code}" nonsense {closing}'
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_long_values_are_cut():
    assert shown([1, "a"]) == "[1, 'a']"
    assert len(shown("x" * 10_000)) < 310 and len(shown([[["x" * 100] * 100] * 100] * 100)) < 310
    assert len(shown({str(k): k for k in range(1000)})) < 310
    assert shown(10**5000).startswith(("a value of the type int", "<int instance", "1000")) and len(shown(10**5000)) < 310
