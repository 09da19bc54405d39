"""Files are written as a whole, and nothing is left of writers that were killed."""

import multiprocessing
import os
import signal
import time

import pytest

from balanced_mixup import files
from balanced_mixup.errors import RunError
from balanced_mixup.files import temporary_path, write_atomically, write_text

fork = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def new_process():
    """Let this process be one that has not written to any folder yet."""
    files._delete_left_over.cache_clear()


def killed_while_writing(path):
    """Return the temporary file of a process that was killed as it wrote `path`."""
    process = fork.Process(
        target=write_atomically, args=(path, lambda half: half.write_text("half") and os.kill(os.getpid(), signal.SIGKILL))
    )
    process.start()
    process.join()
    (left,) = path.parent.glob(f".{path.name}.*.tmp")
    return left


def test_a_temporary_file_of_a_killed_process_is_deleted_by_the_next_writer_in_the_folder(tmp_path):
    (tmp_path / "weights").write_text("good")
    left = killed_while_writing(tmp_path / "weights")
    assert (tmp_path / "weights").read_text() == "good"
    write_text(tmp_path / "history", "x")
    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"weights", "history"}


def test_files_of_living_processes_and_of_other_programs_stay(tmp_path):
    begun, may_end = fork.Event(), fork.Event()

    def wait(temporary):
        temporary.write_text("whole")
        begun.set()
        may_end.wait()

    writer = fork.Process(target=write_atomically, args=(tmp_path / "slow", wait))
    writer.start()
    begun.wait()
    old = (time.time() - 10**6,) * 2
    others = [tmp_path / name for name in (".notes.tmp", ".notes.123.tmp", "notes.0123abcd-1.tmp", ".x.0123abcd-1.tmp.txt")]
    for path in others:
        path.touch()
        os.utime(path, old)
    write_text(tmp_path / "history", "x")
    assert all(path.exists() for path in others)
    may_end.set()
    writer.join()
    assert writer.exitcode == 0
    assert (tmp_path / "slow").read_text() == "whole"


@pytest.mark.parametrize("days", [0, 2])
def test_a_process_of_another_machine_is_given_a_day(tmp_path, monkeypatch, days):
    left = killed_while_writing(tmp_path / "weights")
    os.utime(left, (time.time() - days * 86400,) * 2)
    monkeypatch.setattr(files, "_process_space", lambda: "0123abcd")
    write_text(tmp_path / "history", "x")
    assert left.exists() == (days == 0)


def test_an_error_leaves_no_temporary_file(tmp_path):
    with pytest.raises(RunError, match=r"The file '.*/a/b' could not be written: .*No such file"):
        write_text(tmp_path / "a" / "b", "x")
    with pytest.raises(KeyError):
        write_atomically(tmp_path / "b", lambda temporary: {}[temporary.write_text("half")])
    assert list(tmp_path.iterdir()) == []
    assert temporary_path(tmp_path / "b").parent == tmp_path
