"""Without the extras everything but pictures works, and what is missing is named in one sentence."""

import os
import subprocess
import sys

import pytest

from balanced_mixup.errors import UsageError
from balanced_mixup.extras import require

BLOCKED = """
import sys
for name in ("matplotlib", "jinja2", "captum", "weasyprint"):
    sys.modules[name] = None
from balanced_mixup.cli import run
data, out = sys.argv[1:]
train = ["train", "--data", data, "--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--epochs", "1"]
evaluate = ["evaluate", out, "--data", data, "--allow-seen", "--split", "all"]
codes = [run(command) for command in (
    [*train, "--accelerator", "cpu", "--out", out], evaluate,
    ["predict", out, data.replace("labels.csv", "000.png"), "--out", out + ".csv"],
    ["list", "methods"], ["check", "--data", data], ["benchmark", "--help"], ["table", "--help"],
    ["report", out], ["explain", out, data.replace("labels.csv", "000.png"), "--out", out + "-explained"],
    ["reproduce", "figure3", "--out", out],
)]
print(codes)
"""


def test_training_and_evaluation_need_no_extra(blobs, tmp_path):
    environment = os.environ | {"COLUMNS": "1000"}
    command = [sys.executable, "-c", BLOCKED, str(blobs / "labels.csv"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0, 0, 0, 0, 2, 2, 2]"
    needs = "needs matplotlib, which is not installed: pip install 'balanced-mixup[report]'."
    err = " ".join(done.stderr.split())
    assert err.count(f"The report could not be made: A report {needs}") == 2  # after train and evaluate, which succeed
    assert err.count(f"Error: A report {needs}") == 1
    assert "bmixup explain needs captum, which is not installed: pip install 'balanced-mixup[explain]'." in err
    assert f"A figure {needs}" in err
    assert "Traceback" not in err


def test_what_is_there_is_not_missed():
    require("A test", "dev", "pytest")
    with pytest.raises(UsageError, match=r"^A test needs nothing_like_it, .* pip install 'balanced-mixup\[dev\]'\.$"):
        require("A test", "dev", "pytest", "nothing_like_it")
