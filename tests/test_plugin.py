"""`examples/plugin`, installed and used: what another distribution adds is known to every command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PLUGIN = Path(__file__).resolve().parents[1] / "examples" / "plugin"
TRAINING = ["--size=32", "--weights=none", "--batch-size=64", "--accelerator=cpu", "--learning-rate=3e-3"]


@pytest.fixture(scope="module")
def bmixup(tmp_path_factory):
    """Return a function that runs `bmixup` where the plugin is installed, and returns its standard output."""
    target = tmp_path_factory.mktemp("plugin")
    build = target / "source"
    subprocess.run(["cp", "-r", str(PLUGIN), str(build)], check=True)  # building leaves files beside the source
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target / "site"), str(build)], check=True)
    paths = [str(target / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def run(*arguments):
        command = [sys.executable, "-c", "from balanced_mixup.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_what_a_plugin_adds_is_listed(bmixup):
    listed = bmixup("list")
    for name in ("decoupled", "worst_recall", "digits"):
        assert name in listed
    assert "small_cnn" in bmixup("list", "backbones", "small*")
    assert "--head-epochs" in bmixup("train", "--help")


def test_a_plugin_trains_and_is_reported(bmixup, tmp_path):
    run = tmp_path / "run"
    settings = ["--data=digits", "--backbone=small_cnn", "--method=decoupled", "--head-epochs=5", "--epochs=4"]
    scores = json.loads(bmixup("train", *settings, *TRAINING, "--out", run, "--json"))
    history = pd.read_csv(run / "history.csv")
    assert history["stage"].tolist() == ["train"] * 4 + ["head"] * 5
    assert history["epoch"].tolist() == list(range(1, 10))
    assert history["worst_recall"].between(0, 1).all()
    # Real pictures, and a metric of the plugin's: ten digits, and it does better than chance.
    assert scores["test"]["metrics"]["accuracy"]["value"] > 0.3
    assert 0 <= scores["test"]["metrics"]["worst_recall"]["value"] <= 1
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "decoupled" in report
    assert "worst recall" in report


def test_a_benchmark_trains_the_base_of_a_plugin_once(bmixup, tmp_path):
    plan = {
        "data": {"digits": "digits"},
        "methods": ["instance", {"method": "decoupled", "head_epochs": [2, 3]}],
        "backbones": ["small_cnn"],
        "folds": 2,
        "metrics": ["mcc", "worst_recall"],
        "settings": {"size": 32, "weights": "none", "epochs": 2, "batch_size": 64},
    }
    (tmp_path / "plan.yaml").write_text(json.dumps(plan))
    bmixup("benchmark", tmp_path / "plan.yaml", "--out", tmp_path / "out", "--accelerator", "cpu")
    assert "worst recall" in bmixup("table", tmp_path / "out")
    runs = tmp_path / "out" / "runs"
    assert len(list(runs.glob("*/metrics.json"))) == 6
    assert not list(runs.glob("*/base.safetensors"))  # plain training is a method of the plan: no other run trained it again
    assert (tmp_path / "out" / "report.html").is_file()
