"""Benchmarks as they run: resumable at any point, a failing run leaves the others alone, nothing is trained twice."""

import json
import multiprocessing.forkserver
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from balanced_mixup.benchmark import engine
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.benchmark.engine import run_benchmark
from balanced_mixup.benchmark.estimate import estimate_seconds
from balanced_mixup.benchmark.job import Job, _take_gpu
from balanced_mixup.benchmark.plan import load_plan, make_plan
from balanced_mixup.benchmark.results import read_results
from balanced_mixup.benchmark.runs import expand
from balanced_mixup.benchmark.tables import make_tables
from balanced_mixup.cli import main
from balanced_mixup.errors import DataError, RunError, UsageError
from balanced_mixup.evaluation.evaluate import evaluate
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.run import Run


@pytest.fixture(scope="module")
def content(blobs):
    return {
        "data": {"blobs": {"data": str(blobs / "labels.csv"), "group_column": "patient"}},
        "methods": ["instance", "class"],
        "backbones": ["test_efficientnet"],
        "folds": 2,
        "settings": {"size": 32, "epochs": 1, "batch_size": 8, "weights": "none", "accelerator": "cpu"},
    }


@pytest.fixture(scope="module")
def finished(content, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    return out, run_benchmark(make_plan(content), out, jobs=2, keep_weights=True)


def weights_in(folder):
    return sorted(folder.rglob("*.safetensors"))


def marks(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("metrics.json")}


def trained(out):
    """Return the rows of results that a training has each."""
    scores = read_results(out).scores
    return scores[scores["prior"].isna()]


def test_every_run_is_made(finished):
    out, outcome = finished
    assert (outcome.planned, outcome.finished, list(outcome.failed)) == (4, 4, [])
    scores = trained(out)
    assert len(scores) == 4
    # Every method on the same folds.
    for _, fold in scores.groupby("fold"):
        first, second = (pd.read_parquet(path) for path in fold["predictions"])
        assert first["image"].tolist() == second["image"].tolist()


def test_what_is_finished_is_not_made_again(finished, content):
    out, _ = finished
    before = marks(out)
    longer = {**content, "methods": ["class", "instance", "sqrt"]}
    outcome = run_benchmark(make_plan(longer), out, jobs=2)
    assert (outcome.planned, outcome.finished) == (6, 6)
    after = marks(out)
    assert len(after) == len(before) + 2
    assert all(after[path] == time for path, time in before.items())
    # The shorter plan again: its own runs alone.
    run_benchmark(make_plan(content), out)
    assert len(trained(out)) == 4


def test_the_number_of_parallel_runs_changes_no_result(content, finished, tmp_path):
    """Each run computes with the same number of threads, 1 if not told otherwise, which is kept with the benchmark."""
    out, _ = finished
    plan = make_plan({**content, "methods": ["instance"]})
    assert run_benchmark(plan, tmp_path, jobs=1, keep_weights=True).finished == 2
    assert len(weights_in(tmp_path)) == 2
    for path in weights_in(tmp_path):
        assert path.read_bytes() == (out / path.relative_to(tmp_path)).read_bytes()
    for folder in (out, tmp_path):
        assert json.loads((folder / "benchmark.json").read_text())["threads"] == 1
        assert {json.loads(path.read_text())["torch_threads"] for path in folder.rglob("environment.json")} == {1}
    match = r"Expected `threads` to be 1, with which the runs of the benchmark in .* compute, but got 2\. Omit `--threads`, or"
    with pytest.raises(UsageError, match=match):
        run_benchmark(plan, tmp_path, {"threads": 2})


def test_predictions_corrected_to_the_prior_of_the_place_of_use_are_rows(finished, content, blobs, tmp_path):
    out, _ = finished
    results = read_results(out)
    assert results.methods == ("instance", "instance, uniform prior", "class")  # class sampling teaches equal shares itself
    assert results.corrected == ("instance, uniform prior",)
    for planned in BenchmarkFolder(out).read().runs:
        rows = results.scores.query("fold == @planned.fold and method == 'instance, uniform prior'")
        if planned.method == "instance":
            scores = evaluate(out / planned.folder, prior="uniform").scores.metrics
            assert {name: rows[name].item() for name in scores} == pytest.approx(
                {name: score.value for name, score in scores.items()}, nan_ok=True
            )
    text = make_tables(results, ("balanced_accuracy",), "md")
    assert "| instance, uniform prior | " in text
    assert "instance, uniform prior: the same trainings, their probabilities corrected to that class prior by" in text
    assert "instance, uniform prior" in make_tables(results, (), "runs")
    # Other priors, of the same trainings.
    shutil.copytree(out, folder := tmp_path / "copy")
    classes = Run.open(folder / planned.folder).classes
    shares = dict(zip(classes, np.arange(1, len(classes) + 1) / sum(range(len(classes) + 1)), strict=True))
    for prior, methods in (
        ("none", ("instance", "class")),
        ("train", ("instance", "instance, train prior", "class")),
        (shares, ("instance", "instance, deployment prior", "class")),
    ):
        data = {"blobs": {**content["data"]["blobs"], "prior": prior}}
        assert run_benchmark(make_plan({**content, "data": data}), folder).finished == 4
        assert read_results(folder).methods == methods
    assert trained(folder)["mcc"].tolist() == trained(out)["mcc"].tolist()
    with pytest.raises(UsageError, match="Expected `prior` of the data 'blobs' to have a share for each of "):
        data = {"blobs": {**content["data"]["blobs"], "prior": {"x": 1.0}}}
        run_benchmark(make_plan({**content, "data": data}), folder)
    with pytest.raises(UsageError, match="Expected `prior` of the data 'blobs' to be shares from 0 to 1 that sum to 1, but"):
        data = {"blobs": {**content["data"]["blobs"], "prior": {**shares, classes[0]: 0.9}}}
        run_benchmark(make_plan({**content, "data": data}), folder)


@pytest.mark.parametrize("threads", [None, 3])
def test_the_threads_of_a_run_do_not_depend_on_the_machine_or_on_jobs(content, tmp_path, monkeypatch, threads):
    given = []

    def start(folder, run, placement, slot, threads, base):
        given.append(threads)
        raise RunError("not now")

    monkeypatch.setattr(Job, "start", start)
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    for jobs in (1, 2, None):
        plan = make_plan({**content, "methods": ["instance"]})
        run_benchmark(plan, tmp_path / str(jobs), {} if threads is None else {"threads": threads}, jobs=jobs)
    assert given == [threads or 1] * 6


def test_as_many_runs_at_a_time_as_there_are_cores_and_memory(monkeypatch):

    recipe = engine.make_recipe({"accelerator": "cpu"})
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    memory = psutil.virtual_memory()
    for free, threads, expected in ((64, 1, 8), (64, 4, 2), (6, 1, 3), (0, 1, 1), (64, 16, 1)):
        monkeypatch.setattr("psutil.virtual_memory", lambda free=free: memory._replace(available=free * 2**30))
        assert engine._most_jobs(recipe, threads) == expected
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert engine._most_jobs(engine.make_recipe({}), 1) == 3


def test_weights_are_kept_if_asked_for(finished, content):
    """What was said last in a folder holds, and folders of versions that said nothing keep theirs."""
    out = Path(shutil.copytree(finished[0], finished[0].with_name("weights")))
    index, plan = out / "benchmark.json", make_plan(content)
    assert len(weights_in(out)) >= 4
    run_benchmark(plan, out)
    older = json.loads(index.read_text())
    assert older.pop("keep_weights")
    index.write_text(json.dumps(older))
    run_benchmark(plan, out)
    assert len(weights_in(out)) >= 4
    before = marks(out)
    run_benchmark(plan, out, keep_weights=False)
    planned = BenchmarkFolder(out).read().runs
    assert not any(BenchmarkFolder(out).run(run).weights.exists() for run in planned)
    assert not BenchmarkFolder(out).keeps_weights
    assert run_benchmark(plan, out).finished == 4 and marks(out) == before
    path = BenchmarkFolder(out).run(planned[0]).path
    with pytest.raises(UsageError, match=r"is trained, but its weights were not kept .*`--keep-weights`\)\. To train it"):
        Run.open(path).classifier()
    assert Run.open(path).finished
    assert evaluate(path, prior="uniform").scores.n == Run.open(path).scores["test"].n  # which needs no weights


def write_index(plan, out):
    """Leave a benchmark as it is before its first run."""
    expand(plan, out, {}).write(plan, out)


def test_a_folder_keeps_the_version_of_its_splits(content, tmp_path):
    def versions(plan):
        """Return the versions in the plan and in the runs after a start of the benchmark, and the fingerprints of its folds."""
        run_benchmark(plan, tmp_path, dry_run=True)
        started = engine._with_split_version(plan, BenchmarkFolder(tmp_path))
        write_index(started, tmp_path)
        runs = BenchmarkFolder(tmp_path).read().runs
        said = {run.settings["split_version"] for run in runs}
        written = load_plan(tmp_path / "plan.yaml").settings["split_version"]
        return written, said, {run.data_fingerprint for run in runs}, {run.identity for run in runs}

    plan, old = make_plan(content), make_plan({**content, "settings": {**content["settings"], "split_version": 1}})
    number, said, new_folds, new_runs = versions(plan)
    assert (number, said) == (2, {2})
    number, said, old_folds, old_runs = versions(old)
    assert (number, said) == (1, {1})
    assert not new_folds & old_folds and not new_runs & old_runs
    assert versions(plan) == (1, {1}, old_folds, old_runs)  # a plan that says nothing goes on
    index = json.loads((tmp_path / "benchmark.json").read_text())
    for run in index["runs"]:
        del run["settings"]["split_version"]  # as it was before there were versions
    (tmp_path / "benchmark.json").write_text(json.dumps(index))
    assert versions(plan) == (1, {1}, old_folds, old_runs)
    explicit = make_plan({**content, "settings": {**content["settings"], "split_version": 2}})
    assert versions(explicit) == (2, {2}, new_folds, new_runs)


def test_a_dry_run_writes_nothing(content, tmp_path, caplog):
    caplog.set_level("INFO", "balanced_mixup")
    outcome = run_benchmark(make_plan(content), tmp_path / "out", dry_run=True)
    assert (outcome.planned, outcome.finished) == (4, 0)
    assert "4 runs, 4 of them unfinished: about" in " ".join(caplog.text.split())
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_another_plan_leaves_a_finished_benchmark_alone(finished, content):
    out, _ = finished
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    run_benchmark(make_plan({**content, "folds": 3}), out, dry_run=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_plan_in_the_benchmarks_own_folder_is_not_written_over(content, tmp_path):
    text = "# my notes\n" + yaml.safe_dump(content)
    (tmp_path / "plan.yaml").write_text(text)
    plan = load_plan(tmp_path / "plan.yaml")
    write_index(plan, tmp_path)
    assert (tmp_path / "plan.yaml").read_text() == text
    # One that a benchmark wrote is brought up to date, and can be given again.
    for folds in (2, 3):
        write_index(make_plan({**content, "folds": folds}), tmp_path / "other")
        assert load_plan(tmp_path / "other/plan.yaml").folds == folds


def test_a_failing_run_is_recorded_and_the_others_go_on(content, tmp_path, caplog):
    # A learning rate at which the output is no longer finite.
    content = {
        **content,
        "methods": ["instance", {"label": "wild", "method": "class", "optimizer": "sgd", "learning_rate": 1e30}],
    }
    outcome = run_benchmark(make_plan(content), tmp_path, jobs=2)
    assert (outcome.planned, outcome.finished, len(outcome.failed)) == (4, 2, 2)
    folder = BenchmarkFolder(tmp_path)
    for run, reason in outcome.failed:
        assert run.method == "wild"
        assert "The training diverged" in reason
        assert folder.failure(run).read_text().strip() == reason
    results = read_results(tmp_path)
    assert [title for title, _ in results.failed] == [run.title for run, _ in outcome.failed]
    assert "FAILED: The training diverged" in " ".join(caplog.text.split())


def test_a_process_that_is_killed_is_a_failure_and_can_be_made_again(content, tmp_path, monkeypatch):
    real, killed = Job.start, []

    def start_and_kill(*arguments):
        job = real(*arguments)
        if not killed:
            killed.append(job.process.pid)
            os.kill(job.process.pid, signal.SIGKILL)
        return job

    monkeypatch.setattr(Job, "start", start_and_kill)
    outcome = run_benchmark(make_plan(content), tmp_path)
    assert len(outcome.failed) == 1
    assert "ended by signal 9 (SIGKILL). It may have run out of memory: try fewer `--jobs`" in outcome.failed[0][1]
    monkeypatch.undo()
    again = run_benchmark(make_plan(content), tmp_path)
    assert (again.finished, list(again.failed)) == (4, [])
    assert not list(tmp_path.rglob("*.failed.txt"))


def test_a_process_that_cannot_be_started_is_a_failure(content, tmp_path, monkeypatch):
    """The process that forks the others is killed while it is asked for one."""

    def gone(process):
        raise EOFError

    monkeypatch.setattr("multiprocessing.context.ForkServerProcess.start", gone)
    outcome = run_benchmark(make_plan(content), tmp_path)
    assert (outcome.finished, len(outcome.failed)) == (0, 4)
    assert all("The process could not be started (EOFError())" in reason for _, reason in outcome.failed)


def test_a_full_disk_is_a_reason_and_the_reason_needs_no_disk(content, tmp_path, caplog, monkeypatch):
    def full(path, text):
        raise RunError(f"The file {path.name!r} could not be written: No space left on device.")

    plan = make_plan({**content, "methods": ["instance"]})
    (tmp_path / "runs").mkdir()
    for run in expand(plan, tmp_path, {}).runs:
        (tmp_path / run.folder / ".lock").mkdir(parents=True)  # so that the system refuses the run its lock
    monkeypatch.setattr("balanced_mixup.benchmark.engine.write_text", full)
    outcome = run_benchmark(plan, tmp_path)
    assert len(outcome.failed) == 2
    assert all("Is a directory" in reason and "Traceback" not in reason for _, reason in outcome.failed)
    assert "failed.txt' could not be written: No space left on device" in caplog.text


def test_a_run_that_another_benchmark_makes_is_waited_for(content, tmp_path, monkeypatch):
    monkeypatch.setattr("balanced_mixup.benchmark.engine._RETRY_SECONDS", 0.1)
    plan = make_plan({**content, "methods": ["instance"]})
    write_index(plan, tmp_path)
    folder = BenchmarkFolder(tmp_path)
    first = folder.read().runs[0]
    held = locked(folder.run(first).path)
    held.__enter__()
    real, starts = Job.start, []

    def start(folder, run, *arguments):
        starts.append(run.identity)
        if starts.count(first.identity) == 2:
            held.__exit__(None, None, None)  # the other benchmark has been killed meanwhile
        return real(folder, run, *arguments)

    monkeypatch.setattr(Job, "start", start)
    outcome = run_benchmark(plan, tmp_path)
    assert (outcome.finished, list(outcome.failed)) == (2, [])
    assert starts.count(first.identity) == 2
    assert not list(tmp_path.rglob(".lock"))


def test_killed_with_its_jobs_and_started_again(forkserver, content, finished, tmp_path):
    """The end is what an undisturbed benchmark gives, and no job outlives the command."""
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content))
    arguments = ["benchmark", str(tmp_path / "plan.yaml"), "--jobs", "2", "--out", str(tmp_path / "killed")]
    process = forkserver.Process(target=main, args=(arguments,))
    process.start()
    while process.is_alive() and not list((tmp_path / "killed").glob("runs/*/checkpoint.ckpt")):
        time.sleep(0.01)
    jobs = psutil.Process(process.pid).children(recursive=True) if process.is_alive() else []
    process.kill()
    process.join()
    assert not psutil.wait_procs(jobs, timeout=60)[1]
    assert run_benchmark(make_plan(content), tmp_path / "killed", jobs=2, keep_weights=True).finished == 4
    whole, _ = finished
    made = weights_in(tmp_path / "killed")
    assert made
    for path in made:
        assert path.read_bytes() == (whole / path.relative_to(tmp_path / "killed")).read_bytes()


def test_the_server_of_jobs_ends_with_a_benchmark_that_is_killed_while_it_imports(content, tmp_path, monkeypatch):
    """Its imports, which take minutes on a busy machine, are a module that kills the benchmark and then sleeps."""
    lines = ["import os, pathlib, signal, time", f"server = pathlib.Path({str(tmp_path / 'server')!r})"]
    lines += ["server.write_text(str(os.getpid()))", "os.kill(os.getppid(), signal.SIGKILL)", "time.sleep(600)"]
    (tmp_path / "long_import.py").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("balanced_mixup.benchmark.job.__name__", "long_import")
    write_index(make_plan(content), tmp_path)
    folder = BenchmarkFolder(tmp_path)

    def start():
        multiprocessing.forkserver._forkserver.__init__()  # not the server of this process
        Job.start(folder, folder.read().runs[0], {}, 0, 1)

    process = multiprocessing.get_context("fork").Process(target=start)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    server = int((tmp_path / "server").read_text())

    def lives():
        return psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE

    until = time.monotonic() + 60
    while lives() and time.monotonic() < until:
        time.sleep(0.01)
    assert not lives()


def test_external_data_are_scored_by_every_run(content, blobs, tmp_path):
    lines = (blobs / "labels.csv").read_text().splitlines()
    (tmp_path / "own.csv").write_text("\n".join([lines[0], *lines[1:41], *lines[61:77], *lines[81:87]]))
    (tmp_path / "other.csv").write_text("\n".join([lines[0], *lines[41:61], *lines[77:81], *lines[87:91]]))
    where = {"images": str(blobs), "group_column": "patient"}
    entry = {
        "data": str(tmp_path / "own.csv"),
        **where,
        "external": {"elsewhere": {"data": str(tmp_path / "other.csv"), **where}},
    }
    outcome = run_benchmark(make_plan({**content, "data": {"own": entry}, "methods": ["instance"]}), tmp_path / "out")
    assert outcome.finished == 2
    assert not weights_in(tmp_path / "out")  # deleted after the external data were scored
    scores = trained(tmp_path / "out")
    assert scores["data"].tolist() == ["own", "own -> elsewhere"] * 2
    corrected = read_results(tmp_path / "out").scores.query("method == 'instance, uniform prior'")
    assert sorted(corrected["data"]) == sorted(scores["data"])
    metrics = json.loads(next((tmp_path / "out").rglob("evaluations/elsewhere-*/metrics.json")).read_text())
    assert metrics["n"] == 28
    # Other external data cannot be scored without the weights, which is said before anything is done.
    entry["external"]["later"] = entry["external"]["elsewhere"]
    before = marks(tmp_path / "out")
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"2 trained runs cannot be scored on the external data later: their weights"):
            run_benchmark(
                make_plan({**content, "data": {"own": entry}, "methods": ["instance"]}), tmp_path / "out", dry_run=dry_run
            )
    assert marks(tmp_path / "out") == before and len(trained(tmp_path / "out")) == 4


def external(blobs, folder, own, other):
    """Return the entry of a data set with external data, each some rows of the blobs."""
    lines = (blobs / "labels.csv").read_text().splitlines()
    for name, rows in (("own", own), ("other", other)):
        (folder / f"{name}.csv").write_text("\n".join([lines[0], *(lines[1 + row] for row in rows)]))
    where = {"images": str(blobs), "group_column": "patient"}
    elsewhere = {"data": str(folder / "other.csv"), **where}
    return {"own": {"data": str(folder / "own.csv"), **where, "external": {"elsewhere": elsewhere}}}


@pytest.mark.parametrize(
    "other, error, message",
    [
        (
            [*range(40, 60), 0],
            UsageError,
            r"1 of the 21 images of 'elsewhere' are in 'own' too, as they are or as near copies, the first is '000\.png'",
        ),
        ([], DataError, "other.csv: expected a line of column names and one row per image"),
    ],
)
def test_bad_external_data_are_found_before_the_first_run(content, blobs, tmp_path, other, error, message):
    data = external(blobs, tmp_path, [*range(40), *range(60, 90)], other)
    with pytest.raises(error, match=message):
        run_benchmark(make_plan({**content, "data": data}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_groups_that_external_data_share_are_told(content, blobs, tmp_path, caplog):
    data = external(blobs, tmp_path, [*range(39), *range(60, 90)], range(39, 60))
    plan = make_plan({**content, "data": data})
    runs = expand(plan, tmp_path / "out", {}).runs
    assert "Groups that occur under the same name in the training data: 1 (such as 'p19')" in caplog.text
    assert all(run.images["external"] == 21 for run in runs)
    folder = BenchmarkFolder(tmp_path / "out")
    without = [replace(run, images={**run.images, "external": 0}) for run in runs]
    assert estimate_seconds(folder, [], runs, {}, 1, 1) > estimate_seconds(folder, [], without, {}, 1, 1)


def test_weights_that_cannot_be_had_are_found_out_at_once(content, tmp_path):
    plan = make_plan({**content, "settings": {**content["settings"], "weights": str(tmp_path / "none.safetensors")}})
    with pytest.raises(UsageError, match="there is no file"):
        run_benchmark(plan, tmp_path)
    assert not (tmp_path / "runs").exists()


def test_other_external_data_under_the_same_name_are_scored_anew(content, blobs, tmp_path):
    lines = (blobs / "labels.csv").read_text().splitlines()
    own, first, second = [*lines[1:31], *lines[61:71], *lines[81:87]], lines[31:51] + lines[71:76], lines[41:61] + lines[76:81]
    for name, rows in {"own": own, "first": first, "second": second}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *rows]))

    def entry(other):
        where = {"images": str(blobs), "group_column": "patient"}
        return {"data": str(tmp_path / "own.csv"), **where, "external": {"other": {"data": str(tmp_path / other), **where}}}

    scores = []
    for other in ("first.csv", "second.csv"):
        plan = make_plan({**content, "data": {"own": entry(other)}, "methods": ["instance"]})
        assert run_benchmark(plan, tmp_path / "out", keep_weights=True).finished == 2
        paths = trained(tmp_path / "out").query("data == 'own -> other'")["predictions"]
        scores.append(set(pd.read_parquet(paths.iloc[0])["image"]))
    assert len(scores[0]) == len(scores[1]) == 25
    assert scores[0] != scores[1]


def test_another_plan_in_the_folder_does_not_change_what_runs_read(content, tmp_path):
    write_index(make_plan(content), tmp_path)
    planned = BenchmarkFolder(tmp_path).read().runs
    before = {run.settings["split_file"]: Path(run.settings["split_file"]).read_bytes() for run in planned}
    write_index(make_plan({**content, "folds": 3}), tmp_path)
    assert all(Path(path).read_bytes() == data for path, data in before.items())


def test_data_that_change_under_way_are_noticed(content, blobs, tmp_path, monkeypatch):
    import balanced_mixup.benchmark.engine as engine

    data = Path(shutil.copytree(blobs, tmp_path / "data"))
    plan = make_plan({**content, "data": {"blobs": {"data": str(data / "labels.csv")}}, "methods": ["instance"]})
    real = engine._run_all

    def change_and_make(*arguments, **settings):
        (data / "000.png").write_bytes((blobs / "001.png").read_bytes() + b"changed")
        return real(*arguments, **settings)

    monkeypatch.setattr(engine, "_run_all", change_and_make)
    outcome = run_benchmark(plan, tmp_path / "out")
    assert outcome.finished == 0
    assert all("The data changed after the benchmark was started" in reason for _, reason in outcome.failed)


@pytest.mark.parametrize("content_of_file", ["{", "[]", "{}", '{"test": {}}'])
def test_damaged_scores_are_named(finished, tmp_path, content_of_file):
    folder = Path(shutil.copytree(finished[0], tmp_path / "copy"))
    path = folder / BenchmarkFolder(folder).read().runs[0].folder / "metrics.json"
    path.write_text(content_of_file)
    with pytest.raises(UsageError, match=f"The file '{path}' is (missing or )?damaged"):
        read_results(folder)


def test_bad_use(content, tmp_path):
    with pytest.raises(UsageError, match="Expected `jobs` to be at least 1, but got 0"):
        run_benchmark(make_plan(content), tmp_path, jobs=0)
    with pytest.raises(UsageError, match="Expected one device for each run of a benchmark"):
        run_benchmark(make_plan(content), tmp_path, {"devices": 2})
    with pytest.raises(UsageError, match="to be the folder of a benchmark"):
        read_results(tmp_path)
    write_index(make_plan(content), tmp_path)
    with pytest.raises(UsageError, match="has no finished run yet"):
        read_results(tmp_path)


@pytest.mark.parametrize("visible, slot, chosen", [("2,5", 0, "2"), ("2,5", 3, "5"), ("7", 1, "7")])
def test_gpus_are_dealt_out(monkeypatch, visible, slot, chosen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    _take_gpu(slot)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == chosen
