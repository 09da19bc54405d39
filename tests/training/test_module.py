"""The module's choices that no run shows by itself."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from balanced_mixup import train
from balanced_mixup.data.batches import TrainBatch
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.methods import TrainSet
from balanced_mixup.training.backbones import create
from balanced_mixup.training.history import History, upgraded
from balanced_mixup.training.inputs import FeatureInputs, ImageInputs, TrainingData
from balanced_mixup.training.module import ClassifierModule
from balanced_mixup.training.preprocessing import Preprocessing
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.segments import segments_of


def module(scores=(), **settings):
    """Return a module of 5 steps an epoch, and a history with these scores."""
    recipe = make_recipe({"backbone": "test_efficientnet", "weights": "none", "size": 32, "batch_size": 4, **settings})
    data = TrainingData(
        ArrayPixels(np.zeros((30, 32, 32, 3), np.uint8)), np.arange(30) % 3, np.arange(20), np.arange(20, 30), 3
    )
    history = History(recipe.monitored(ordinal=False))
    (segment,) = segments_of(recipe.method, TrainSet(data.labels[data.train], 3, recipe.epochs, 0))
    inputs = ImageInputs(Preprocessing([0.5] * 3, [0.5] * 3), recipe.augmentation)
    found = ClassifierModule(recipe, segment, torch.nn.Linear(1, 3), inputs, data, history, lambda _: None)
    history.rows += [{"epoch": number, history.monitor: score} for number, score in enumerate(scores, start=1)]
    return found


@pytest.mark.parametrize(
    ("ordinal", "monitor", "expected"),
    [(False, None, "mcc"), (True, None, "quadratic_kappa"), (True, "macro_f1", "macro_f1")],
)
def test_the_monitored_score_follows_the_classes(ordinal, monitor, expected):
    assert make_recipe({"monitor": monitor}).monitored(ordinal) == expected


@pytest.mark.parametrize(
    ("scores", "first", "best"),
    [
        ([0.1, 0.4, 0.4, 0.2], 0, 2),  # the first of equal ones
        ([math.nan] * 3, 0, 1),  # without a defined score the first
        ([math.nan, -0.5, math.nan], 0, 2),
        ([0.9, 0.1, 0.3, 0.2], 1, 3),  # within the last stage
        ([0.9, math.nan, math.nan], 1, 2),
    ],
)
def test_the_best_epoch(scores, first, best):
    history = History("kendall_tau")
    history.rows = [{"epoch": number, "kendall_tau": score} for number, score in enumerate(scores, start=1)]
    assert history.best_epoch(first) == best
    assert module(scores).kept_epoch() == module(scores).history.best_epoch()


def test_rows_of_a_checkpoint_before_stages_had_names():
    assert upgraded([{"epoch": 1, "mcc": 0.5}]) == [{"epoch": 1, "stage": "train", "mcc": 0.5}]
    assert upgraded([{"epoch": 1, "stage": "head"}]) == [{"epoch": 1, "stage": "head"}]


def test_patience_and_plateau_end_a_training():
    assert module([0.4, 0.1, 0.1], patience=2).is_finished()
    assert not module([0.4, 0.1], patience=2).is_finished()
    assert not module([], patience=1).is_finished()
    plateau = {"schedule": "plateau", "plateau_patience": 0}
    assert module([0.4, 0.1, 0.1, 0.1], **plateau).is_finished()
    assert not module([0.4, 0.1, 0.1], **plateau).is_finished()


def test_learning_rates_of_the_schedules():
    assert module(schedule="constant", learning_rate=0.5).learning_rate.at(99, []) == 0.5
    assert module(schedule="cyclic", cycle_epochs=2, learning_rate=0.5).learning_rate.at(10, []) == 0.5  # 5 steps an epoch
    assert module(schedule="cosine", epochs=4, warmup=0.25).learning_rate.at(5, []) == pytest.approx(1e-3)
    assert module(schedule="plateau", plateau_patience=0).learning_rate.at(5, [0.4, 0.1]) == pytest.approx(1e-4)


@pytest.mark.parametrize("as_map", [False, True])
def test_a_copy_of_the_features_is_chosen_by_the_first_number_of_an_image(as_map):
    stored = torch.arange(4.0)[:, None, None] * 10 + torch.arange(3.0)[None, :, None] + torch.zeros(4, 3, 2)
    numbers = torch.tensor([0.0, 0.49, 0.51, 1.0])[:, None]  # a number just below 1 is 1 as float32
    batch = TrainBatch(stored, *[torch.zeros(4)] * 6)._replace(uniforms=numbers)
    inputs = FeatureInputs(as_map=as_map)
    found = inputs.for_training(batch)
    assert found.shape == ((4, 2, 1, 1) if as_map else (4, 2))
    # Of several copies those that are augmented; for validation the image itself.
    assert found.flatten(1)[:, 0].tolist() == [1, 11, 22, 32]
    assert inputs.for_evaluation(stored).flatten(1)[:, 0].tolist() == [0, 10, 20, 30]
    single = batch._replace(pixels=stored[:, :1])
    assert inputs.for_training(single).flatten(1)[:, 0].tolist() == [0, 10, 20, 30]


@pytest.mark.slow
def test_compiled_training_keeps_the_names_of_the_weights(tiny, tmp_path):
    run = train(tiny, compile=True, epochs=1, out=tmp_path / "run").folder
    assert set(load_file(run.weights)) == set(create("test_efficientnet", 3, 32, "none", 0).model.state_dict())


@pytest.mark.slow
def test_a_compiler_that_is_not_there_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "/nonexistent/g++")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in tiny.items()]
    command = [Path(sys.executable).parent / "bmixup", "train", "--compile", "--out", tmp_path / "run", *settings]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "torch.compile failed on this machine" in " ".join(done.stderr.split())
