"""The benchmarks run and write what their readers expect; what they measure is recorded in benchmarks/results."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from balanced_mixup import evaluate
from balanced_mixup.benchmark.engine import run_benchmark
from balanced_mixup.benchmark.plan import make_plan

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script, *arguments):
    subprocess.run([sys.executable, BENCHMARKS / script, *arguments], check=True, timeout=500)


def test_the_page_of_results_shows_what_is_recorded(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    results_page = importlib.import_module("results_page")
    text, simulated = (path.read_text(encoding="utf-8") for path in results_page.PAGES)
    for plan in (BENCHMARKS / "plans").glob("*.yaml"):
        results = results_page.recorded(plan.stem)
        assert results.finished == results.planned
        assert results.scores.groupby("method").size().to_dict() == dict.fromkeys(results.methods, 5)
        assert f"<!-- tables of {plan.stem} -->" in text
    assert results_page.page(text) == text
    assert results_page.page(simulated) == simulated and simulated.count("images") > 5


@pytest.fixture
def comparisons(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("comparisons")


def test_the_recorded_simulations_keep_what_is_promised():
    """Equal methods are called different in at most 6 %, equivalence is wrong in at most 5 %, what is shown within 20 %."""
    table = pd.read_csv(BENCHMARKS / "results/comparisons.csv")
    parts = table[table["images_alone"].notna()]
    assert (parts.loc[parts["trainings"] == 1, "different"] == 0).all() and (parts["trainings"] == 1).sum() == 3
    assert (table["different"] <= 0.06).all() and (table["equivalent_wrongly"] <= 0.05).all()
    shown = table.dropna(subset="shown")
    assert ((shown["shown"] / shown["true"] - 1).abs() <= 0.2).all() and len(shown) == 11
    assert (parts.loc[parts["scenario"].str.startswith("10,000"), "images_alone"] > 0.3).all()
    assert (table["pairs"] >= 100).all() and (parts["pairs"] == 500).all()


def test_simulated_comparisons_of_one_test_part(comparisons):
    rows = list(comparisons.one_test_part("few", 40, 300, 3, 0.05, same_seeds=False))
    assert [row.trainings for row in rows] == [1, 2, 3, 5]
    assert rows[0].different == 0 and rows[0].images_alone > 0.1
    for row in rows[1:]:
        # Two standard errors above 5 %, of 40 pairs.
        assert max(row.different, row.equivalent_wrongly) <= 0.125
        assert row.images_alone > row.different and row.true > 0
    assert rows[1].shown > rows[2].shown > rows[3].shown  # more trainings find smaller differences


def test_simulated_marks_of_tables(comparisons):
    pairs, tables = comparisons.in_folds("few", 40, 4, 300, 0.1)
    assert pairs.different <= 0.125 and pairs.equivalent_wrongly <= 0.125 and pairs.shown == pytest.approx(pairs.true, rel=0.5)
    assert tables.pairs == 4 and 0 <= tables.different <= 0.5 and tables.equivalent_wrongly <= 0.5
    marks = comparisons.standings(np.array([[0.9, 0.91, 0.9, 0.92, 0.9], [0.5, 0.52, 0.51, 0.5, 0.5]]), 0.01)
    assert marks.tolist() == ["best", "worse"]


def test_the_page_of_intervals_shows_what_is_recorded():
    # By its path: a package for the coverage of tests has the same name.
    spec = importlib.util.spec_from_file_location("coverage_benchmark", BENCHMARKS / "coverage.py")
    coverage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(coverage)
    recorded = json.loads((BENCHMARKS / "results/coverage.json").read_text(encoding="utf-8"))
    text = (BENCHMARKS.parent / "docs/intervals.md").read_text(encoding="utf-8")
    assert f"{coverage.BEGIN}{coverage.page_tables(recorded['rows'])}{coverage.END}" in text
    shown = [row["covered"] for row in recorded["rows"] if row["warned"] <= 0.5]
    assert (recorded["test_sets"], len(recorded["rows"]), len(shown)) == (1000, 576, 264)
    assert sum(0.93 <= covered <= 0.97 for covered in shown) == 228 and sum(0.97 < covered <= 0.99 for covered in shown) == 26


@pytest.fixture
def throughput(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("throughput")


class OneLayer(torch.nn.Module):
    """A model and its loss, as the loops of throughput.py need them."""

    def __init__(self):
        super().__init__()
        self.model = torch.nn.Linear(1, 1)
        self.losses = [lambda outputs, targets: outputs.sum()]


@pytest.mark.parametrize("steps", [1, 4, 40])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_zipped_loaders_are_timed_in_their_stride(workers, steps, throughput, monkeypatch):
    clock, left = [0.0], []

    def batches(count):
        clock[0] += 1000  # the processes start
        for number in range(count):
            # Workers that started together deliver together: one batch a second on average.
            clock[0] += workers if number % workers == 0 else 0
            left[:] = [count - number - 1]
            yield torch.zeros(1, 1), torch.zeros(1, 1)
        clock[0] += 1000  # they would come to an end

    bench = object.__new__(throughput.Bench)
    bench.workers, bench.device, bench.recipe = workers, torch.device("cpu"), None
    for name, fake in {"module": lambda _: OneLayer(), "zipped_batches": batches, "now": lambda: clock[0]}.items():
        monkeypatch.setattr(bench, name, fake, raising=False)
    monkeypatch.setattr(throughput, "precision_of", lambda _: "32-true")
    assert bench.published_loop(steps) == 1.0
    assert left[0] == throughput.PREFETCHED * workers  # the loaders did not run dry while they were timed


def test_rates_and_their_ratios_are_of_the_same_rounds(throughput):
    turns = {
        "model_only": [100.0, 300.0, 200.0],
        "balanced_mixup": [80.0, 270.0, 190.0],
        "cross_entropy": [90.0, 280.0, 195.0],
        "zipped_pil": [20.0, 90.0, 38.0],
    }
    assert throughput.summary(turns) == {
        "model_only": 200, "balanced_mixup": 190, "cross_entropy": 195, "zipped_pil": 38,
        "ratio_to_model_only": 0.9, "ratio_to_zipped_pil": 4,
    }  # fmt: skip


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
def test_large_data(tmp_path):
    sizes = ("--rows", "200", "--classes", "70", "--images", "140")
    run("large_data.py", *sizes, "--folder", tmp_path, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures) == ["check 200 images", "check 200 rows of 2 images", "score 140 images of 70 classes"]
    assert all(figure["processor_s"] > 0 for figure in figures.values())
    assert len({path.read_bytes() for path in tmp_path.rglob("*.png")}) == 200


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


@pytest.mark.slow
def test_near_copies(tmp_path):
    run("near_copies.py", "--quick", "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())
    made = figures["quality"]["made"]
    assert (made["images"], made["pairs"], made["wrong"]) == (100, 0, 0)
    assert made["found"]["mirrored, JPEG 90"] == made["found"]["half the size"] == 1
    assert (figures["check"]["images"], figures["check"]["found"]) == (300, figures["check"]["copies"])


def test_intervals_of_estimated_priors(tmp_path):
    run("prior_intervals.py", "--quick", "--csv", tmp_path / "table.csv")
    (row,) = pd.read_csv(tmp_path / "table.csv").to_dict("records")
    assert row["before, all classes"] < 0.85 <= row["after, all classes"]
    assert row["before, width"] < row["after, width"] < 3 * row["before, width"]
