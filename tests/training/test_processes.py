"""Training with several processes, as Lightning, torchrun and SLURM start them: real processes on the CPU, with gloo."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from safetensors.numpy import load_file

from balanced_mixup.training.fit import make_trainer, process_rank
from balanced_mixup.training.recipe import make_recipe

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
def config(blobs, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "recipe.yaml"
    path.write_text(f"data: {blobs / 'labels.csv'}\n{SETTINGS}")
    return path


def start(command, **env):
    # Whatever started the tests should not look like the launcher of a training.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PYTEST"))}
    clean |= {"MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1", **env}
    return subprocess.Popen(list(map(str, command)), env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(outputs)
    return "".join(outputs)


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "alone"
    finish(start([BMIXUP, "train", "--config", config, "--out", out]))
    return out


def assert_same_result(run, other):
    """Equal losses, scores and weights, to rounding: gradients are summed in another order."""
    history, expected = (pd.read_csv(folder / "history.csv") for folder in (run, other))
    pd.testing.assert_frame_equal(history, expected, rtol=1e-5)
    weights, same = (load_file(folder / "weights.safetensors") for folder in (run, other))
    for name, values in weights.items():
        assert abs(values - same[name]).max() < 1e-4, name
    assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in other.iterdir())
    images = [pd.read_parquet(folder / "predictions.parquet")["image"].tolist() for folder in (run, other)]
    assert images[0] == images[1]


def test_two_processes_train_to_the_result_of_one_and_one_of_them_writes(config, alone, tmp_path):
    out = tmp_path / "run"
    output = finish(start([BMIXUP, "train", "--config", config, "--out", out, "--devices", 2]))
    assert_same_result(out, alone)
    assert output.count("Epoch 2/2") == output.count("Run folder") == 1
    assert (out / "train.log").read_text().count("Epoch 2/2") == 1


def test_torchrun_starts_it(config, alone, tmp_path):
    out = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2, f"--master-port={free_port()}"]
    output = finish(start([*launcher, BMIXUP, "train", "--config", config, "--out", out, "--devices", 2]))
    assert_same_result(out, alone)
    assert output.count("Epoch 2/2") == output.count("Run folder") == 1


@pytest.mark.slow
def test_slurm_starts_it(config, alone, tmp_path):
    out = tmp_path / "run"
    port = str(free_port())

    def task(number):
        tasks = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train"}
        place = {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number), "SLURM_NODEID": "0"}
        where = {"SLURM_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost", "MASTER_PORT": port}
        return start([BMIXUP, "train", "--config", config, "--out", out, "--devices", 2], **tasks, **place, **where)

    output = finish(task(0), task(1))
    assert_same_result(out, alone)
    assert output.count("Epoch 2/2") == output.count("Run folder") == 1


def test_another_number_of_processes_than_the_recipe_says_is_refused(config, tmp_path):
    process = start([BMIXUP, "train", "--config", config, "--out", tmp_path / "run"], WORLD_SIZE="2", RANK="1")
    output = process.communicate(timeout=100)[0]
    assert process.returncode == 2
    assert "Expected 1 process" in output
    assert "Traceback" not in output


def test_a_batch_that_cannot_be_cut_is_refused(config, tmp_path):
    process = start([BMIXUP, "train", "--config", config, "--out", tmp_path / "run", "--devices", 3])
    output = process.communicate(timeout=100)[0]
    assert process.returncode == 2
    assert "multiple of their number, 3, but got 8" in " ".join(output.split())


def test_an_interactive_shell_of_slurm_starts_no_processes(monkeypatch):
    recipe = make_recipe({"devices": 2})
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "bash", "SLURM_PROCID": "0", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert process_rank(recipe) == 1
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    assert process_rank(recipe) == 0


def test_lightning_writes_no_checkpoint_of_its_own_in_a_slurm_job(monkeypatch, tmp_path):
    for name, value in {
        "SLURM_NTASKS": "1",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_ID": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("SLURM_NODEID", "0")
    trainer = make_trainer(make_recipe({"accelerator": "cpu"}), folder=tmp_path)
    assert isinstance(trainer._accelerator_connector.cluster_environment, SLURMEnvironment)
    assert not trainer._accelerator_connector.cluster_environment.auto_requeue
    assert trainer.default_root_dir == str(tmp_path)
