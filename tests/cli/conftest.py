"""Running commands in this process."""

import pytest

from balanced_mixup.cli import run


@pytest.fixture
def command(capsys):
    """Run a command and return (exit status, standard output, standard error in one line)."""

    def call(*arguments):
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, " ".join(captured.err.split())

    return call
