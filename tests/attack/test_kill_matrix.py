"""Every command that writes is killed, given again, and ends as one that was never disturbed: same files, same contents.

Ten kills here, each before a file gets its name; a hundred at random moments among the slow tests.
"""

import os
import random
import signal
import time

import psutil
import pytest
from attack_commands import COMMANDS, before_each_file, bmixup, contents, lay_out


def _in_a_process(folder, line, cache, kill_at=None):
    os.environ["BMIXUP_CACHE_DIR"] = str(cache)
    with (folder.parent / f"{folder.name}.said").open("wb") as said:
        for stream in (1, 2):
            os.dup2(said.fileno(), stream)
    written = []

    def note(path):
        if len(written) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(path.name)

    with pytest.MonkeyPatch.context() as patch:
        before_each_file(patch, note)
        status = bmixup(folder, line)
    (folder.parent / f"{folder.name}.written").write_text("\n".join(written))
    raise SystemExit(status)


@pytest.fixture(scope="module")
def started(forkserver, tmp_path_factory):
    """Function that starts a command in a process of its own."""
    cache = tmp_path_factory.mktemp("cache")

    def start(folder, line, kill_at=None):
        process = forkserver.Process(target=_in_a_process, args=(folder, line, cache, kill_at))
        process.start()
        return process

    return start


def said(folder):
    return (folder.parent / f"{folder.name}.said").read_text(errors="replace")


@pytest.fixture(scope="module")
def undisturbed(started, blobs, tiny_run, tmp_path_factory):
    """Function from a command's name to (folder, files it writes, seconds it takes), run once."""
    known = {}

    def run(name):
        if name not in known:
            folder = tmp_path_factory.mktemp("undisturbed") / "folder"
            lay_out(folder, COMMANDS[name].needs, blobs, tiny_run)
            begin = time.monotonic()
            process = started(folder, COMMANDS[name].line())
            process.join()
            assert process.exitcode == 0, said(folder)
            written = (folder.parent / "folder.written").read_text().splitlines()
            known[name] = folder, len(written), time.monotonic() - begin
        return known[name]

    return run


def check_repaired(started, name, folder, whole):
    """Give the killed command again: it ends well, and the folder is as if nothing had happened."""
    last = started(folder, COMMANDS[name].line(again=True))
    last.join()
    assert last.exitcode == 0, said(folder)
    assert "Traceback" not in said(folder)
    assert contents(folder) == contents(whole)


KILLS = ["train", "train", "benchmark", "benchmark", "evaluate", "predict", "prepare", "prepare", "report", "explain"]


@pytest.mark.parametrize("number", range(len(KILLS)), ids=[f"{name}-{i}" for i, name in enumerate(KILLS)])
def test_killed_before_a_file_gets_its_name(started, undisturbed, blobs, tiny_run, tmp_path, number):
    name = KILLS[number]
    whole, files, _ = undisturbed(name)
    folder = tmp_path / "folder"
    lay_out(folder, COMMANDS[name].needs, blobs, tiny_run)
    process = started(folder, COMMANDS[name].line(), random.Random(number).randrange(files))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    check_repaired(started, name, folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_random_moments(started, undisturbed, blobs, tiny_run, tmp_path, name):
    """A hundred kills over all commands. Processes that a killed one has started end, too."""
    whole, _, seconds = undisturbed(name)
    moments, kills = random.Random(name), 0
    for attempt in range(-(-100 // len(COMMANDS))):
        folder = tmp_path / f"{attempt}" / "folder"
        folder.parent.mkdir()
        lay_out(folder, COMMANDS[name].needs, blobs, tiny_run)
        process = started(folder, COMMANDS[name].line())
        process.join(moments.uniform(0, seconds))
        if process.is_alive():
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.join()
            kills += 1
            _, alive = psutil.wait_procs(children, timeout=100)
            assert not alive
        check_repaired(started, name, folder, whole)
    assert kills > 0
