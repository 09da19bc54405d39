"""The module's choices that no run shows by itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from balanced_mixup import train
from balanced_mixup.data.pixels import ArrayPixels
from balanced_mixup.training.backbones import create
from balanced_mixup.training.module import Trainee, TrainingData
from balanced_mixup.training.recipe import make_recipe


def trainee(ordinal=False, **settings):
    recipe = make_recipe({"backbone": "test_efficientnet", "weights": "none", "size": 32, "batch_size": 4, **settings})
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (30, 32, 32, 3), dtype=np.uint8)
    data = TrainingData(ArrayPixels(pixels), np.arange(30) % 3, np.arange(20), np.arange(20, 30), 3, ordinal)
    return Trainee(recipe, create(recipe.backbone, 3, 32, "none", 0), data, after_epoch=lambda _: None)


@pytest.mark.parametrize(
    ("ordinal", "monitor", "expected"),
    [(False, None, "mcc"), (True, None, "quadratic_kappa"), (True, "macro_f1", "macro_f1")],
)
def test_the_monitored_score_follows_the_classes(ordinal, monitor, expected):
    assert trainee(ordinal, monitor=monitor).monitor == expected


def test_the_first_of_equally_good_epochs_is_kept():
    module = trainee()
    module.history = [{"mcc": score} for score in (0.1, 0.4, 0.4, 0.2)]
    assert module.best_epoch() == 2


def test_without_a_defined_score_the_first_epoch_is_kept():
    module = trainee(monitor="kendall_tau")
    module.history = [{"kendall_tau": float("nan")}] * 3
    assert module.best_epoch() == 1


def test_patience_and_plateau_end_a_training():
    module = trainee(patience=2)
    module.history = [{"mcc": score} for score in (0.4, 0.1, 0.1)]
    assert module.is_finished()
    module.history.pop()
    assert not module.is_finished()
    plateau = trainee(schedule="plateau", plateau_patience=0)
    plateau.history = [{"mcc": score} for score in (0.4, 0.1, 0.1, 0.1)]
    assert plateau.is_finished()
    plateau.history.pop()
    assert not plateau.is_finished()


def test_learning_rates_of_the_schedules():
    assert trainee(schedule="constant", learning_rate=0.5).learning_rate(99) == 0.5
    assert trainee(schedule="cyclic", cycle_epochs=2, learning_rate=0.5).learning_rate(10) == 0.5  # 5 steps an epoch
    assert trainee(schedule="cosine", epochs=4, warmup=0.25).learning_rate(5) == pytest.approx(1e-3)


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
