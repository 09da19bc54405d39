"""A first stage that several methods of a benchmark share is trained once, by whichever run comes first."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.benchmark.engine import _next, run_benchmark
from balanced_mixup.benchmark.plan import make_plan
from balanced_mixup.benchmark.results import read_results
from balanced_mixup.benchmark.tables import make_tables
from balanced_mixup.runs.run import Run

RUN = PlannedRun("d", "m", "b", "f", 0, "test", None, {}, "runs/x", "data", "own", None, {}, {})


def planned(identity, base=None):
    return replace(RUN, identity=identity, base=base, folder=f"runs/{identity}")


class TestOrder:
    """Which run is started next, and where its base is taken from."""

    plain, other = planned("plain"), planned("other")
    first, second, alone = planned("first", "plain"), planned("second", "plain"), planned("alone", "gone")

    def next_of(self, pending, active=(), trained=()):
        chosen = _next(pending, active, lambda run: next((Path(name) for name in trained if run.base == "plain"), None))
        return chosen and (chosen[0].identity, chosen[1] and chosen[1].name)

    def test_without_bases_they_come_in_their_order(self):
        assert self.next_of([self.other, self.plain]) == ("other", None)
        assert self.next_of([]) is None

    def test_a_base_that_the_plan_has_comes_first(self):
        assert self.next_of([self.first, self.second, self.plain]) == ("plain", None)
        assert self.next_of([self.first, self.second, self.other, self.plain]) == ("other", None)

    def test_who_needs_a_base_that_is_being_trained_waits(self):
        assert self.next_of([self.first, self.second], [self.plain]) is None
        assert self.next_of([self.second], [self.first]) is None  # which trains it on its way
        assert self.next_of([self.second, self.other], [self.first]) == ("other", None)

    def test_a_base_that_is_trained_is_taken(self):
        assert self.next_of([self.first], [self.plain], ["runs/plain"]) == ("first", "plain")
        assert self.next_of([self.second], [self.first], ["runs/first"]) == ("second", "first")

    def test_without_the_base_the_first_one_trains_it(self):
        assert self.next_of([self.first, self.second]) == ("first", None)
        assert self.next_of([self.alone, self.first]) == ("alone", None)

    def test_when_the_base_failed_the_others_do_without(self):
        assert self.next_of([self.first, self.second], []) == ("first", None)


def test_the_base_is_trained_once(staged, blobs, tmp_path):
    content = {
        "data": {"blobs": {"data": str(blobs / "labels.csv"), "group_column": "patient"}},
        "methods": [{"method": "retrained-test", "head_epochs": [1, 2]}],
        "baseline": "retrained-test head_epochs=1",
        "backbones": ["test_resnet"],
        "folds": 2,
        "settings": {"size": 32, "epochs": 1, "batch_size": 8, "weights": "none", "accelerator": "cpu"},
    }
    folder = BenchmarkFolder(tmp_path)

    def finished():
        assert outcome.finished == outcome.planned, outcome.failed
        return {(run.method, run.fold): folder.run(run) for run in folder.read().runs}

    outcome = run_benchmark(make_plan(content), tmp_path, jobs=2, keep_weights=True)
    runs = finished()
    for fold in ("r0f0", "r0f1"):
        trained = [run for (_, of), run in runs.items() if of == fold and run.end_of_base.weights.is_file()]
        taken = [run for (_, of), run in runs.items() if of == fold and run not in trained]
        assert (len(trained), len(taken)) == (1, 1)
        assert f"Reusing the trained stages of instance from the run in {trained[0].path}" in taken[0].log.read_text()
        histories = [pd.read_csv(run.history) for run in (trained[0], taken[0])]
        assert all(history["stage"][0] == "train" for history in histories)
        pd.testing.assert_frame_equal(histories[0][:1], histories[1][:1])

        # What the base has cost is known to both; alone a method costs what it does and its base.
        ours, theirs = (Run(run).cost for run in (trained[0], taken[0]))
        assert (ours.base_reused, theirs.base_reused) == (False, True)
        assert 0 < ours.base_seconds == theirs.base_seconds <= ours.seconds
        assert theirs.alone_seconds == theirs.seconds + ours.base_seconds
        assert ours.shared_seconds == pytest.approx(ours.seconds - ours.base_seconds)

    # More methods in the same folder: one takes the base from there, and plain training is a run of its own.
    more = make_plan({**content, "methods": [*content["methods"], "normalised-test", "instance"]})
    outcome = run_benchmark(more, tmp_path)
    runs = finished()
    for fold in ("r0f0", "r0f1"):
        of_fold = {method: run for (method, of), run in runs.items() if of == fold}
        assert not of_fold["normalised-test"].end_of_base.weights.exists()
        plain = load_file(of_fold["instance"].weights)
        (base,) = (load_file(run.end_of_base.weights) for run in of_fold.values() if run.end_of_base.weights.is_file())
        assert all((plain[name] == base[name]).all() for name in plain)
        changed = load_file(of_fold["normalised-test"].weights)
        assert sum((plain[name] != changed[name]).any() for name in plain) == 1

    text = make_tables(read_results(tmp_path), (), "md")
    cells = [line.split(" | ") for line in text.partition("### Time of a training on blobs")[2].splitlines() if "| " in line]
    assert [cell.strip("| ") for cell in cells[0]] == ["method", "alone", "sharing"]
    assert {row[0].strip("| "): row[2].strip("| ") != "–" for row in cells[1:]} == {
        "retrained-test head_epochs=1": True, "retrained-test head_epochs=2": True, "normalised-test": True, "instance": False
    }  # fmt: skip

    # Weights are deleted, but for those that a run which is not finished can start from; then those, too.
    planned = folder.read().runs
    (unfinished,) = (run for run in planned if (run.method, run.fold) == ("normalised-test", "r0f0"))
    folder.run(unfinished).metrics.unlink()
    folder.discard_weights(planned, planned)
    kept = {run.fold for run in planned if folder.run(run).weights.exists() or folder.run(run).end_of_base.weights.exists()}
    assert kept == {"r0f0"} and folder.base_of(unfinished, planned) is not None
    shutil.rmtree(folder.run(unfinished).path)
    assert run_benchmark(more, tmp_path, keep_weights=False).finished == 8
    assert "Reusing the trained stages of instance" in folder.run(unfinished).log.read_text()
    assert not list(tmp_path.rglob("*.safetensors"))
