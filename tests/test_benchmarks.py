"""The benchmarks run and write what their readers expect; what they measure is recorded in benchmarks/results."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from balanced_mixup import evaluate
from balanced_mixup.benchmark.engine import run_benchmark
from balanced_mixup.benchmark.plan import make_plan

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script, *arguments):
    subprocess.run([sys.executable, BENCHMARKS / script, *arguments], check=True, timeout=500)


def test_the_page_of_results_shows_what_is_recorded(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    results_page = importlib.import_module("results_page")
    text = results_page.PAGE.read_text(encoding="utf-8")
    for plan in (BENCHMARKS / "plans").glob("*.yaml"):
        results = results_page.recorded(plan.stem)
        assert results.finished == results.planned
        assert results.scores.groupby("method").size().to_dict() == dict.fromkeys(results.methods, 5)
        assert f"<!-- tables of {plan.stem} -->" in text
    assert results_page.page(text) == text


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


@pytest.mark.slow
def test_corrected_shares(blobs, tmp_path):
    settings = {"size": 32, "epochs": 1, "batch_size": 8, "weights": "none", "accelerator": "cpu"}
    plan = {
        "data": {"blobs": {"data": str(blobs / "labels.csv"), "group_column": "patient"}},
        "methods": ["instance", "class"], "backbones": ["test_efficientnet"], "folds": 2, "settings": settings,
    }  # fmt: skip
    run_benchmark(make_plan(plan), tmp_path / "out")
    run("corrected_shares.py", tmp_path / "out", "--csv", tmp_path / "rows.csv")
    table = pd.read_csv(tmp_path / "rows.csv")
    assert table["method"].tolist() == ["instance, equal shares"] * 2
    for row in table.itertuples():
        (folder,) = (tmp_path / "out/runs").glob(f"blobs-instance-*-{row.fold}-*[!k]")
        expected = evaluate(folder, prior="uniform").scores.metrics
        assert row.balanced_accuracy == expected["balanced_accuracy"].value
