"""The estimated time of a benchmark, by a clock that stands still but for the calls."""

import json

import pytest
import torch

from balanced_mixup.benchmark import estimate
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.benchmark.estimate import estimate_seconds


def planned(name, epochs):
    return PlannedRun(
        data="a", method="instance", backbone="test_efficientnet", fold=name, seed=0, scored="test", test_share=None,
        images={"train": 320, "val": 50, "test": 100, "external": 30}, folder=f"runs/{name}", data_fingerprint="",
        identity=name, base=None, external={},
        settings={"data": "a.csv", "method": "instance", "epochs": epochs, "batch_size": 32},
    )  # fmt: skip


def test_the_estimate_is_the_sum_of_its_parts(monkeypatch, tmp_path):
    speed = estimate._Speed(step=0.5, image=0.01, slowdown=1.0)
    monkeypatch.setattr(estimate, "_speed", lambda *arguments: speed)
    folder, runs = BenchmarkFolder(tmp_path), [planned("x", 4), planned("y", 2)]
    # Ten steps and a validation an epoch; validation, test and external images twice; the start.
    expected = [epochs * (10 * 0.5 + 50 * 0.01) + 2 * 180 * 0.01 + 5 for epochs in (4, 2)]
    once = 20  # of the benchmark: its own start and report
    assert estimate_seconds(folder, [], runs, {}, 1, 1) == pytest.approx(once + sum(expected))
    assert estimate_seconds(folder, [], runs, {}, 2, 1) == pytest.approx(once + sum(expected) / 2)
    # On a busy machine a step is measured as long as it is; what is not measured takes as many times longer.
    speed = speed._replace(slowdown=3.0)
    assert estimate_seconds(folder, [], runs, {}, 1, 1) == pytest.approx(3 * once + sum(expected) + 2 * 2 * 5)
    # A finished run on the same data says more than a measurement.
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/x/recipe.yaml").write_text("")
    (tmp_path / "runs/x/cost.json").write_text(json.dumps({"format": 1, "seconds": 70.0, "memory_bytes": 1, "resumed": False}))
    assert estimate_seconds(folder, runs[:1], runs[1:], {}, 1, 1) == pytest.approx(once + 70 + 5)


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([2, 0.5, 0.5, 0.5, 0.5, 0.5], 0.5),  # the first call prepares
        ([0.1, 0.2, 0.3, 2.0, 0.2, 0.2], 0.2),  # another process had the core
        ([6], 6),  # one is long enough
        ([1, 4.5], 4.5),
    ],
)
def test_a_step_that_another_process_interrupts_does_not_count(monkeypatch, durations, expected):
    now = [0.0]
    left = list(durations)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: now[0])

    def step():
        now[0] += left.pop(0)

    assert estimate._seconds(step, torch.device("cpu")) == pytest.approx(expected)
    assert not left


def test_a_busy_machine_is_noticed(monkeypatch):
    now = {"clock": 0.0, "processor": 0.0}

    def seconds(function, device):
        now["clock"] += 3
        now["processor"] += 1
        return 0.5

    monkeypatch.setattr(estimate, "_seconds", seconds)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: now["clock"])
    monkeypatch.setattr(estimate.time, "process_time", lambda: now["processor"])
    speed = estimate._speed.__wrapped__("test_resnet", 32, 4, "32-true", "cpu", 1)
    assert speed == pytest.approx((0.5, 0.5 / 4, 3.0))
