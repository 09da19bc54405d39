"""`examples/plugin`, installed and used: what another distribution adds is known to every command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PLUGIN = Path(__file__).resolve().parents[1] / "examples" / "plugin"
TRAINING = [
    "--size=32",
    "--weights=none",
    "--batch-size=32",
    "--accelerator=cpu",
    "--learning-rate=0.01",
    "--augmentation=none",
]
PLAN = {
    "data": {"digits": "digits"},
    "methods": ["instance", {"method": "decoupled", "head_epochs": 2}],
    "backbones": ["small_cnn"],
    "folds": 2,
    "metrics": ["mcc", "worst_recall"],
    "settings": {"size": 32, "weights": "none", "epochs": 1, "batch_size": 64},
}
# All commands in one process: each would import torch and Lightning again.
COMMANDS = """
import contextlib, io, json, sys
from balanced_mixup.cli import run

printed = []
if __name__ == "__main__":
    for command in json.loads(sys.argv[1]):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert run(command) == 0, command
        printed.append(out.getvalue())
    print(json.dumps(printed))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Install the plugin and use it; returns what each command printed, and the folder of what they wrote."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source")  # building leaves files beside the source
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder / "site"), str(folder / "source")], check=True)
    (folder / "plan.yaml").write_text(json.dumps(PLAN))
    (folder / "commands.py").write_text(COMMANDS)
    method = ["--data=digits", "--backbone=small_cnn", "--method=decoupled", "--head-epochs=5", "--epochs=12"]
    commands = {
        "list": ["list"],
        "backbones": ["list", "backbones", "small*"],
        "help": ["train", "--help"],
        "train": ["train", *method, *TRAINING, f"--out={folder / 'run'}", "--json"],
        "benchmark": ["benchmark", str(folder / "plan.yaml"), f"--out={folder / 'benchmark'}", "--accelerator=cpu"],
        "table": ["table", str(folder / "benchmark")],
    }
    paths = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, str(folder / "commands.py"), json.dumps(list(commands.values()))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(commands, json.loads(done.stdout.splitlines()[-1]), strict=True)), folder


def test_what_a_plugin_adds_is_listed(printed):
    texts, _ = printed
    for name in ("decoupled", "worst_recall", "digits"):
        assert name in texts["list"]
    assert "small_cnn" in texts["backbones"]
    assert "--head-epochs" in texts["help"]


def test_a_plugin_trains_on_real_pictures_and_is_reported(printed):
    texts, folder = printed
    scores = json.loads(texts["train"])["test"]["metrics"]
    history = pd.read_csv(folder / "run/history.csv")
    assert history["stage"].tolist() == ["train"] * 12 + ["head"] * 5
    assert history["epoch"].tolist() == list(range(1, 18))
    assert history["worst_recall"].between(0, 1).all()
    assert scores["accuracy"]["value"] > 0.6  # of ten digits, of which the largest class has a quarter of the images
    assert 0 <= scores["worst_recall"]["value"] <= 1
    report = (folder / "run/report.html").read_text(encoding="utf-8")
    assert "decoupled" in report
    assert "worst recall" in report


def test_a_benchmark_trains_the_base_of_a_plugin_once(printed):
    texts, folder = printed
    assert "worst recall" in texts["table"]
    runs = folder / "benchmark/runs"
    assert len(list(runs.glob("*/metrics.json"))) == 4
    assert not list(runs.glob("*/base.safetensors"))  # plain training is a method of the plan: no other run trained it again
    assert (folder / "benchmark/report.html").is_file()
