"""The disk fills up while a command writes: the message names the file, and the command given again ends as if undisturbed."""

import errno

import pytest
from attack_commands import COMMANDS, LONG, before_each_file, bmixup, contents, lay_out


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in COMMANDS])
def test_a_full_disk_at_each_kind_of_file(blobs, tiny_run, tmp_path, monkeypatch, capfd, name):
    command = COMMANDS[name]
    whole, folder = tmp_path / "whole", tmp_path / "folder"
    for each in (whole, folder):
        lay_out(each, command.needs, blobs, tiny_run)
    monkeypatch.setenv("BMIXUP_CACHE_DIR", str(tmp_path / "cache"))
    kinds, failed = set(), {}
    with monkeypatch.context() as patch:
        before_each_file(patch, lambda path: kinds.add(path.suffix))
        assert bmixup(whole, command.line()) == 0

    def fail_once(path):
        if path.suffix not in failed:
            failed[path.suffix] = path.name
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    before_each_file(monkeypatch, fail_once)
    capfd.readouterr()
    while (status := bmixup(folder, command.line(again=bool(failed)))) != 0:
        said = capfd.readouterr().err
        assert status == 1, said
        assert "Traceback" not in said
        assert list(failed.values())[-1] in said
    assert set(failed) == kinds
    assert contents(folder) == contents(whole)
