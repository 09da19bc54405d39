"""The benchmarks run and write what their readers expect; what they measure is recorded in benchmarks/results."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script, *arguments):
    subprocess.run([sys.executable, BENCHMARKS / script, *arguments], check=True, timeout=500)


@pytest.mark.slow
def test_throughput(tmp_path):
    run("throughput.py", "--quick", "--json", tmp_path / "rows.json")
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row[name] for name in ("backbone", "size", "batch", "precision", "cache")] == [
        "mobilenetv2_100",
        64,
        32,
        "32",
        "disk",
    ]
    assert all(row[name] > 0 for name in ("model_only", "balanced_mixup", "cross_entropy", "zipped_pil"))


@pytest.mark.slow
def test_scale(tmp_path):
    run("scale.py", "--samples", "1000", "100000", "--json", tmp_path / "rows.json")
    small, large = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert (small["samples"], large["samples"]) == (1000, 100_000)
    assert large["class_draw_us"] < 10 * small["class_draw_us"]
