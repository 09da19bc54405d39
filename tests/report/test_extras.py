"""Without the extras everything but pictures works, and what is missing is named in one sentence."""

import os
import subprocess
import sys

import pytest

from balanced_mixup.errors import UsageError
from balanced_mixup.extras import require

BLOCKED = """
import sys
from importlib import metadata

HIDDEN = {"matplotlib", "jinja2", "captum", "weasyprint"} | {"transformers"}  # which torchmetrics imports, and looks for jinja2

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def from_name(name, real=metadata.Distribution.from_name):
    if name in HIDDEN:
        raise metadata.PackageNotFoundError(name)
    return real(name)

sys.meta_path.insert(0, Hidden())
metadata.Distribution.from_name = from_name  # torchmetrics asks for the package before it imports it

from balanced_mixup.cli import run
data, out = sys.argv[1:]
train = ["train", "--data", data, "--backbone", "test_efficientnet", "--weights", "none", "--size", "32", "--epochs", "1"]
evaluate = ["evaluate", out, "--data", data, "--allow-seen", "--split", "all"]
image = data.replace("labels.csv", "000.png")
commands = (
    [*train, "--accelerator", "cpu", "--out", out], evaluate, ["predict", out, image, "--out", out + ".csv"],
    ["list", "methods"], ["check", "--data", data], ["benchmark", "--help"], ["table", "--help"],
    ["report", out], ["explain", out, image, "--out", out + "-explained"], ["reproduce", "figure3", "--out", out],
)
codes = [run(command) for command in commands]
print(codes)
"""


def test_training_and_evaluation_need_no_extra(blobs, tmp_path):
    environment = os.environ | {"COLUMNS": "1000"}
    command = [sys.executable, "-c", BLOCKED, str(blobs / "labels.csv"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0, 0, 0, 0, 2, 2, 2]"
    needs = "needs matplotlib, which is not installed: pip install 'balanced-mixup[report]'."
    err = " ".join(done.stderr.split())
    assert err.count(f"The report could not be written: A report {needs}") == 2  # after train and evaluate, which succeed
    assert err.count(f"Error: A report {needs}") == 1
    assert "bmixup explain needs captum, which is not installed: pip install 'balanced-mixup[explain]'." in err
    assert f"A figure {needs}" in err
    assert "Traceback" not in err


def test_what_is_there_is_not_missed():
    require("A test", "dev", "pytest")
    with pytest.raises(UsageError, match=r"^A test needs nothing_like_it, .* pip install 'balanced-mixup\[dev\]'\.$"):
        require("A test", "dev", "pytest", "nothing_like_it")
