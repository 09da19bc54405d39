"""Only one process at a time writes to a run folder; whoever comes second is told who does."""

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from balanced_mixup import RunError, UsageError, evaluate, train
from balanced_mixup.evaluation.experiment import _own_folder
from balanced_mixup.runs.folder_lock import FolderInUseError, locked
from balanced_mixup.training.recipe import make_recipe

HOLD = """
import sys
from pathlib import Path
from balanced_mixup.runs.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held():
    """Function that has another process lock a folder, and returns that process."""
    processes = []

    def hold(folder):
        command = [sys.executable, "-c", HOLD, str(folder), "\x1b[2J"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_a_second_training_is_refused_and_told_who_writes_there(held, tiny, tmp_path):
    out = tmp_path / "run"
    holder = held(out)
    who = rf"{re.escape(out.name)}' is being written by another process \(process {holder.pid} on {os.uname().nodename}, since "
    for resume in (False, True):
        with pytest.raises(FolderInUseError, match=who) as caught:
            train(tiny, out=out, resume=resume)
        assert caught.value.exit_status == 2
        assert r"'\x1b[2J'" in str(caught.value) and "\x1b" not in str(caught.value)
    assert [path.name for path in out.iterdir()] == [".lock"]
    # A killed process leaves a lock file, and no lock.
    holder.kill()
    holder.wait()
    assert (out / ".lock").exists()
    assert train(tiny, epochs=1, out=out).run.verify()
    assert not (out / ".lock").exists()


def test_a_finished_run_is_not_touched_by_a_second_training(held, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    held(run)
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(FolderInUseError, match="Wait for its end, or choose another folder"):
        train(out=run, resume=True)
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_evaluations_and_reports_wait_for_the_one_that_writes(held, tiny_run, blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("balanced_mixup.evaluation.evaluate._WRITING_SECONDS", 0.0)
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))
    held(run / "evaluations")
    held(tmp_path / "scores")
    with pytest.raises(FolderInUseError):
        evaluate(run, data=str(blobs / "labels.csv"), allow_seen=True)
    with pytest.raises(FolderInUseError):
        evaluate(run, out=tmp_path / "scores")
    with locked(run / "other"), locked(run / "other"):  # the same process again, as a benchmark's
        assert (run / "other/.lock").read_text().startswith(f"process {os.getpid()} on ")
    assert not (run / "other").exists()


def test_threads_of_one_process_exclude_each_other(tmp_path):
    said = []

    def other():
        try:
            with locked(tmp_path):
                said.append("locked")
        except FolderInUseError as error:
            said.append(str(error))

    def run_other():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    with locked(tmp_path):
        run_other()
    run_other()
    assert f"(process {os.getpid()} on" in said[0]
    assert said[1] == "locked"


def test_trainings_without_a_folder_get_different_ones(held, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = make_recipe(tiny)
    held(tmp_path / "runs/labels-balanced-mixup-1")
    monkeypatch.setattr(Path, "exists", lambda path: False)  # seen before the others have made them
    with _own_folder(recipe, None) as run:
        assert str(run.path) == "runs/labels-balanced-mixup-2"
    monkeypatch.undo()
    with pytest.raises(UsageError, match="does not exist"):
        train(tiny, data=str(tmp_path / "absent.csv"), out=tmp_path / "runs/new")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["labels-balanced-mixup-1"]


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(lock, timeout):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with locked(tmp_path):
        pass
    assert "is on a file system without locks: let no other process write to it" in caplog.text


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"The folder '.*file/run' could not be written to: "), locked(tmp_path / "file/run"):
        pass
