"""Training with several processes, as Lightning, torchrun and SLURM start them: real processes on the CPU, with gloo."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from safetensors.numpy import load_file

from balanced_mixup import Run, RunError, UsageError, train
from balanced_mixup.cli import main
from balanced_mixup.training.fit import fit
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.processes import LostProcessError, launch_workers, process_rank
from balanced_mixup.training.recipe import load_yaml, make_recipe
from balanced_mixup.training.trainer import make_trainer

BMIXUP = Path(sys.executable).parent / "bmixup"
SETTINGS = """
group_column: patient
backbone: test_convnext
weights: none
size: 32
batch_size: 8
epochs: 2
val_fraction: 0.25
test_fraction: 0.2
augmentation: paper
accelerator: cpu
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def config(staged, blobs, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "recipe.yaml"
    path.write_text(f"data: {blobs / 'labels.csv'}\n{SETTINGS}")
    return path


def start(command, **env):
    """Start a program. Whatever started the tests should not look like the launcher of a training."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PYTEST"))}
    clean |= {"MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1", **env}
    return subprocess.Popen(list(map(str, command)), env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(outputs)
    return "".join(outputs)


def as_a_program(arguments, env, output):
    """Be `bmixup` with such an environment, in a process that has imported all it needs."""
    for name in list(os.environ):
        if name.startswith(("SLURM", "PYTEST")):
            del os.environ[name]
    os.environ.update(env)
    sys.orig_argv = [sys.executable, str(BMIXUP), *map(str, arguments)]  # what the processes are started by that it launches
    with open(output, "wb", buffering=0) as file:  # noqa: PTH123
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    torch.set_num_threads(int(env["OMP_NUM_THREADS"]))  # torch read the variable when it was imported, in the server
    main(list(map(str, arguments)))


@pytest.fixture
def launch(forkserver, tmp_path):
    """Function that starts the processes of a training as torchrun or srun would, and returns their statuses and output."""

    def run(arguments, *environments):
        processes = []
        for number, env in enumerate(environments):
            output = tmp_path / f"output{number}"
            paths = os.environ.get("PYTHONPATH", "")  # the server that forks may be older than what stands in it
            target = (arguments, {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **env}, output)
            processes.append((forkserver.Process(target=as_a_program, args=target), output))
            processes[-1][0].start()
        for process, _ in processes:
            process.join(600)  # as long as a busy machine may take
        return [process.exitcode for process, _ in processes], "".join(output.read_text() for _, output in processes)

    return run


def torchrun():
    """Return the environments of two processes that torchrun starts."""
    together = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    together |= {"TORCHELASTIC_RUN_ID": "1", "GROUP_RANK": "0"}
    return [{**together, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    """Function that returns the run of one process with such flags."""
    known = {}

    def run(*flags):
        if flags not in known:
            known[flags] = tmp_path_factory.mktemp("runs") / "alone"
            train(load_yaml(config), dict(flags), out=known[flags])
        return known[flags]

    return run


def assert_same_result(run, other):
    """Equal losses, scores and weights, to rounding: gradients are summed in another order."""
    history, expected = (pd.read_csv(folder / "history.csv") for folder in (run, other))
    pd.testing.assert_frame_equal(history, expected, rtol=1e-5)
    weights, same = (load_file(folder / "weights.safetensors") for folder in (run, other))
    for name, values in weights.items():
        assert abs(values - same[name]).max() < 1e-4, name
    assert {path.name for path in run.iterdir()} - {"report.html", "report-figures"} == {path.name for path in other.iterdir()}
    images = [pd.read_parquet(folder / "predictions.parquet")["image"].tolist() for folder in (run, other)]
    assert images[0] == images[1]


def test_two_processes_train_to_the_result_of_one_and_one_of_them_writes(config, alone, launch, tmp_path):
    """With stages of its own, the head among them."""
    out = tmp_path / "run"
    flags = ["--method", "retrained-test", "--epochs", 1, "--no-report"]
    statuses, output = launch(["train", "--config", config, "--out", out, "--devices", 2, *flags], {})
    assert statuses == [0], output
    assert_same_result(out, alone(("method", "retrained-test"), ("epochs", 1)))
    assert output.count("Epoch 1/3") == output.count("Epoch 3/3") == output.count("Run folder") == 1
    assert (out / "train.log").read_text().count("Epoch 3/3") == 1
    # The folder was locked by the first process alone, which wrote down how many computed, and with how many threads each.
    environment = json.loads((out / "environment.json").read_text())
    assert (environment["processes"], environment["torch_threads"]) == (2, 1)
    assert Run.open(out).verify() and not (out / ".lock").exists()


def test_processes_that_were_started_from_outside(config, alone, launch, tmp_path):
    out = tmp_path / "run"
    statuses, output = launch(["train", "--config", config, "--out", out, "--devices", 2, "--no-report"], *torchrun())
    assert statuses == [0, 0], output
    assert_same_result(out, alone())
    assert output.count("Epoch 2/2") == output.count("Run folder") == 1


def test_all_processes_go_on_from_the_base_of_another_run(config, alone, launch, tmp_path):
    plain = alone(("method", "instance"), ("epochs", 1))
    flags = ["--devices", 2, "--method", "retrained-test", "--epochs", 1, "--base", plain, "--no-report"]
    statuses, output = launch(["train", "--config", config, "--out", tmp_path / "run", *flags], *torchrun())
    assert statuses == [0, 0], output
    whole = alone(("method", "retrained-test"), ("epochs", 1))
    weights, expected = (load_file(folder / "weights.safetensors") for folder in (tmp_path / "run", whole))
    assert all(abs(values - expected[name]).max() < 1e-4 for name, values in weights.items())


@pytest.mark.slow
def test_torchrun_starts_it(config, alone, tmp_path):
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2, f"--master-port={free_port()}"]
    output = finish(start([*launcher, BMIXUP, "train", "--config", config, "--out", out, "--devices", 2]))
    assert_same_result(out, alone())
    assert output.count("Epoch 2/2") == output.count("Run folder") == 1


@pytest.mark.slow
def test_slurm_starts_it(config, alone, tmp_path):
    out = tmp_path / "run"
    port = str(free_port())

    def task(number):
        tasks = dict.fromkeys(("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS_PER_NODE"), "2")
        tasks |= {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train"}
        place = {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number), "SLURM_NODEID": "0"}
        where = {"SLURM_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost", "MASTER_PORT": port}
        return start([BMIXUP, "train", "--config", config, "--out", out, "--devices", 2], **tasks, **place, **where)

    output = finish(task(0), task(1))
    assert_same_result(out, alone())
    assert output.count("Epoch 2/2") == output.count("Run folder") == 1


def test_another_number_of_processes_than_the_recipe_says_is_refused(config, launch, tmp_path):
    statuses, output = launch(["train", "--config", config, "--out", tmp_path / "run"], {"WORLD_SIZE": "2", "RANK": "1"})
    assert statuses == [2]
    assert "Expected 1 process" in output
    assert "Traceback" not in output


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(UsageError, match="multiple of their number, 3, but got 8"):
        make_recipe({"devices": 3, "batch_size": 8})


@pytest.fixture
def no_launcher(monkeypatch):
    """Return a function that sets variables of a launcher, in an environment without others."""
    for name in list(os.environ):
        if name.startswith("SLURM") or name in ("WORLD_SIZE", "RANK", "NODE_RANK", "LOCAL_RANK"):
            monkeypatch.delenv(name)

    def launched(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launched


SRUN = {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1"}


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train.sh", "SLURM_PROCID": "0"},  # a batch script, without srun
        {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "interactive"},  # in the shell of salloc
        {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_NAME": "bash", "SLURM_PROCID": "0"},  # srun --pty bash
    ],
    ids=["batch", "salloc", "pty"],
)
def test_slurm_without_several_tasks_starts_no_processes(no_launcher, variables, tmp_path):
    no_launcher(**variables)
    assert process_rank(make_recipe({})) == 0
    trainer = make_trainer(make_recipe({"accelerator": "cpu"}), epochs=1, folder=tmp_path)
    assert isinstance(trainer._accelerator_connector.cluster_environment, LightningEnvironment)
    no_launcher(LOCAL_RANK="1")
    assert process_rank(make_recipe({"devices": 2})) == 1


def test_more_tasks_than_the_recipe_says_are_refused(no_launcher):
    no_launcher(**SRUN, SLURM_PROCID="1")
    assert process_rank(make_recipe({"devices": 2})) == 1
    with pytest.raises(UsageError, match=r"Expected 1 process\(es\) .* but srun started 2\. Set `--devices`"):
        process_rank(make_recipe({}))


@pytest.mark.parametrize("change", [{"SLURM_NTASKS_PER_NODE": None}, {"SLURM_NNODES": "2"}, {"SLURM_NTASKS_PER_NODE": "1"}])
def test_tasks_that_are_spread_in_another_way_are_refused(no_launcher, change):
    no_launcher(**{name: value for name, value in {**SRUN, **change}.items() if value is not None})
    with pytest.raises(
        UsageError, match=r"Expected srun with `--nodes=1 --ntasks-per-node=2`, to match .* but got SLURM_NNODES=[12]"
    ):
        process_rank(make_recipe({"devices": 2}))


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", ""), ("RANK", "x"), ("LOCAL_RANK", "-1"), ("NODE_RANK", "1.5")])
def test_variables_that_are_no_numbers(no_launcher, name, value):
    no_launcher(**{name: value})
    with pytest.raises(UsageError, match=f"variable {name} to be a number, .* but got '{value}'. Unset it"):
        process_rank(make_recipe({"devices": 2}))


def test_they_are_found_before_lightning_stumbles_over_them(config, tmp_path):
    process = start([BMIXUP, "train", "--config", config, "--out", tmp_path / "run"], RANK="")
    output = process.communicate(timeout=100)[0]
    assert (process.returncode, "Traceback" in output) == (2, False)
    assert "Expected the environment variable RANK to be a number" in " ".join(output.split())


def test_lightning_writes_no_checkpoint_of_its_own_in_a_slurm_job(no_launcher, tmp_path):
    no_launcher(**SRUN, SLURM_JOB_ID="1", SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0")
    trainer = make_trainer(make_recipe({"accelerator": "cpu", "devices": 2}), epochs=1, folder=tmp_path)
    assert isinstance(trainer._accelerator_connector.cluster_environment, SLURMEnvironment)
    assert not trainer._accelerator_connector.cluster_environment.auto_requeue
    assert trainer.default_root_dir == str(tmp_path)


def test_a_single_batch_that_cannot_be_cut_is_refused():
    """One process would take all 7 images, two would leave one out: they would train to another result."""
    data = TrainingData(None, np.zeros(9, np.int64), np.arange(7), np.arange(7, 9), 3)
    recipe = make_recipe({"devices": 2, "batch_size": 8})
    with pytest.raises(UsageError, match=r"2 processes can share, but got batches of all 7 .* Lower `--batch-size` to 6"):
        fit(recipe, None, data, None)


# Programs that do what `bmixup` does, but for a mistake, or for taking Ctrl-C, which a background job of a shell ignores.
PROGRAM = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from balanced_mixup.cli import main
from balanced_mixup.errors import DataError, Problem
from balanced_mixup.evaluation import experiment
from balanced_mixup.training.module import ClassifierModule

experiment.GRACE_SECONDS = 2

def fail(*arguments):
    raise DataError([Problem("missing file", "x.png", "Restore it.")])

if os.environ.get("LOCAL_RANK") == "1":
    {spoil}
main()
"""
BEFORE, DURING = "experiment._training_data = fail", "ClassifierModule.on_train_epoch_end = fail"


def program(spoil="pass"):
    return [sys.executable, "-c", PROGRAM.format(spoil=spoil)]


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [BEFORE, DURING], ids=["before", "during"])
def test_a_mistake_that_one_process_finds_ends_all(config, tmp_path, spoil):
    process = start([*program(spoil), "train", "--config", config, "--out", tmp_path / "run", "--devices", 2])
    output = process.communicate(timeout=200)[0]
    assert (process.returncode, output.count("Restore it."), "Traceback" in output) == (2, 1, False), output


@pytest.mark.slow
def test_a_mistake_that_all_processes_find_is_said_once(config, tmp_path):
    settings = ["--devices", 2, "--batch-size", 2, "--backbone", "test_efficientnet"]
    process = start([BMIXUP, "train", "--config", config, "--out", tmp_path / "run", *settings])
    output = process.communicate(timeout=200)[0]
    assert (process.returncode, output.count("The batch normalisation"), "Traceback" in output) == (2, 1, False), output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "to", "status", "said"),
    [
        (signal.SIGINT, "all", 1, "Interrupted"),
        (signal.SIGTERM, "all", 1, "Stopped by SIGTERM"),
        (signal.SIGKILL, "first", -signal.SIGKILL, ""),
        (signal.SIGKILL, "other", 1, "Another process of the training ended"),
    ],
    ids=["SIGINT", "SIGTERM", "SIGKILL", "SIGKILL-other"],
)
def test_processes_that_are_stopped_end_together(config, tmp_path, sent, to, status, said):
    process = start([*program(), "train", "--config", config, "--out", tmp_path / "run", "--devices", 2, "--epochs", 9999])
    try:
        while not (tmp_path / "run/checkpoint.ckpt").exists():
            time.sleep(0.1)
            assert process.poll() is None
        (other,) = psutil.Process(process.pid).children()
        for target in {"all": [process, other], "first": [process], "other": [other]}[to]:
            if target is process or sent != signal.SIGINT:  # an assistant is in another session than the terminal
                target.send_signal(sent)
        output = process.communicate(timeout=300)[0]
        psutil.wait_procs([other], timeout=120)
        assert (process.returncode, other.is_running(), "Traceback" in output) == (status, False, False), output
        assert output.count("--resume") == output.count(said or "--resume") == bool(said)
    finally:
        process.kill()


def test_the_exit_status_of_an_assistant_is_taken_over(no_launcher, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "import sys; sys.exit(2)"])
    with pytest.raises(RunError, match="gone") as error, launch_workers(make_recipe({"devices": 2})):
        raise LostProcessError("gone")
    assert error.value.exit_status == 2
    assert "LOCAL_RANK" not in os.environ
