"""The README's Python examples run as they stand, and its table of methods is the truth."""

import re
from pathlib import Path

import numpy as np
import pytest

from balanced_mixup import METHODS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


LOOPS = [example for example in EXAMPLES if "BalancedMixUpLoader" in example]


def test_there_is_an_example_for_each_way():
    assert len(LOOPS) == 2
    assert sum("L.LightningModule" in example for example in LOOPS) == 1
    assert [name in "".join(EXAMPLES) for name in ("import train", "Run.open", "import BalancedMixUp")] == [True] * 3


@pytest.mark.filterwarnings("ignore")  # Lightning's hints about workers and loggers, which the short example leaves at default
@pytest.mark.parametrize("example", LOOPS)
def test_loops(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)  # what a reader does who pastes it
    before = names["labels"]
    assert len(names["dataset"]) == len(before) == 1000
    assert names["loader"].sampler.epoch == 2  # the last of three epochs: the loader was told, by hand or by Lightning


@pytest.mark.slow
def test_train_and_read_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in EXAMPLES:
        if example not in LOOPS:
            exec(example, names)
    assert -1 <= float(capsys.readouterr().out.split()[0]) <= 1
    assert (tmp_path / "runs/first/metrics.json").is_file()
    assert names["classifier"].probabilities(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 5)


def test_methods_table():
    section = README.split("### Methods\n")[1].split("\n### ")[0]
    assert set(re.findall(r"^\| `([a-z][a-z-]*)` \|", section, re.MULTILINE)) == set(METHODS)
