"""Damaged and tampered files of a run: every mutation is read, or refused with an error of this package, and no more."""

import logging
import os
import random
import shutil
from pathlib import Path

import pytest
from mutate import mutate

from balanced_mixup import BalancedMixupError, Classifier, Evaluation, Run, UsageError
from balanced_mixup.benchmark.results import read_results
from balanced_mixup.training.training_files import SegmentEnd

LEGACY = Path(__file__).parents[1] / "legacy"
READERS = {
    "recipe.yaml": lambda run: run.recipe,
    "model.json": lambda run: run.model,
    "metrics.json": lambda run: run.scores,
    "calibration.json": lambda run: run.calibration,
    "environment.json": lambda run: run.environment,
    "cost.json": lambda run: run.cost,
    "history.csv": lambda run: run.history,
    "manifest.csv": lambda run: run.counts(),
    "predictions.parquet": lambda run: run.predictions.to_frame(),
    "weights.safetensors": lambda run: Classifier.load(run.path, "cpu"),
}
MANY = [pytest.param(range(30)), pytest.param(range(30, 600), marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of a small finished run, to be spoilt and mended."""
    return shutil.copytree(LEGACY / "finished", tmp_path_factory.mktemp("fuzz") / "run")


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def attack(path, seeds, read):
    """Read mutations of a file; return how many were refused."""
    original, refused = path.read_bytes(), 0
    try:
        for seed in seeds:
            path.write_bytes(mutate(original, random.Random(seed)))
            try:
                read()
            except BalancedMixupError as error:
                refused += 1
                assert len(str(error)) < 3000, f"{path.name}, mutation {seed}: {error}"
            except Exception as error:
                raise AssertionError(f"{path.name}, mutation {seed}") from error
    finally:
        path.write_bytes(original)
    return refused


@pytest.mark.parametrize("seeds", MANY)
@pytest.mark.parametrize("name", READERS)
def test_mutations_of_the_files_of_a_run(run, name, seeds):
    assert attack(run / name, seeds, lambda: READERS[name](Run.open(run))) > 0 or name == "environment.json"


@pytest.mark.parametrize("seeds", MANY)
def test_mutations_of_the_scores_of_other_data(run, seeds):
    folder = run / "evaluations/labels-all"
    assert attack(folder / "metrics.json", seeds, lambda: Evaluation.open(folder).result.to_dict()) > 0


@pytest.mark.parametrize("seeds", MANY)
def test_mutations_of_the_digests(run, seeds):
    from balanced_mixup.runs.digests import write_digests

    write_digests(Run.open(run).folder, {})
    try:
        assert Run.open(run).verify()
        assert attack(run / "files.json", seeds, lambda: Run.open(run).verify()) > 0
    finally:
        (run / "files.json").unlink()


@pytest.mark.parametrize("seeds", MANY)
def test_mutations_of_the_end_of_a_stage(tmp_path, seeds):
    end = SegmentEnd(tmp_path / "stage-1.safetensors", tmp_path / "stage-1.json")
    end.write({}, [{"epoch": 1, "stage": "train", "mcc": float("nan")}, {"epoch": 2, "stage": "train", "mcc": 0.5}])
    assert attack(end.history, seeds, end.rows) > 0


@pytest.mark.parametrize("seeds", MANY)
def test_mutations_of_the_index_of_a_benchmark(tmp_path, seeds):
    folder = shutil.copytree(LEGACY / "benchmark", tmp_path / "benchmark")
    assert attack(folder / "benchmark.json", seeds, lambda: read_results(folder)) > 0


@pytest.mark.parametrize("name", [name for name in READERS if name not in ("recipe.yaml", "weights.safetensors")])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(run, name):
    original = (run / name).read_bytes()
    (run / name).unlink()
    os.mkfifo(run / name)
    try:
        if name == "calibration.json":
            assert Run.open(run).calibration.images > 0  # fitted anew, as where there is none
        else:
            with pytest.raises(UsageError, match=rf"{name}' is missing or damaged: it is not a regular file"):
                READERS[name](Run.open(run))
    finally:
        (run / name).unlink()
        (run / name).write_bytes(original)
