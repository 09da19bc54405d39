"""Damaged and foreign checkpoints: refused by name, with what to do; nothing in them is executed."""

import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from balanced_mixup import UsageError, train

LEGACY = Path(__file__).parents[1] / "legacy"


class StoppedError(Exception):
    pass


class StopAfter(Callback):
    """Ends the process, as it were, when the checkpoint of an epoch has been written."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_start(self, trainer, module):
        if module.current_epoch == self.epochs:
            raise StoppedError


@pytest.fixture(scope="module")
def interrupted(fit_small, tmp_path_factory):
    """Function that returns a copy of a training that was stopped after its first epoch of two."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(StoppedError):
        fit_small(folder, callbacks=[StopAfter(1)], mark="this one")
    assert (folder / "checkpoint.ckpt").is_file()
    return lambda to: Path(shutil.copytree(folder, to))


DAMAGED = r"checkpoint.ckpt' is damaged or of another training \(.+\)\. Delete it to train from the start of the stage"


def test_an_undamaged_one_goes_on(fit_small, interrupted, tmp_path):
    folder = interrupted(tmp_path / "run")
    fit_small(folder, mark="this one")
    assert (folder / "weights.safetensors").is_file()
    assert (folder / "history.csv").read_text().count("\n") == 3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_one_is_named(fit_small, interrupted, tmp_path, share):
    path = interrupted(tmp_path / "run") / "checkpoint.ckpt"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match=DAMAGED):
        fit_small(path.parent, mark="this one")
    assert not (path.parent / "weights.safetensors").exists()
    path.unlink()
    fit_small(path.parent, mark="this one")
    assert (path.parent / "weights.safetensors").is_file()


@pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_a_flipped_bit_is_named_or_changes_nothing(fit_small, interrupted, tmp_path, count):
    original = interrupted(tmp_path / "run")
    content = (original / "checkpoint.ckpt").read_bytes()
    expected = fit_small(interrupted(tmp_path / "whole"), mark="this one")[0].weights.read_bytes()
    for seed in range(count):
        rng = random.Random(seed)
        folder = Path(shutil.copytree(original, tmp_path / f"run{seed}"))
        spoilt = bytearray(content)
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
        (folder / "checkpoint.ckpt").write_bytes(spoilt)
        try:
            assert fit_small(folder, mark="this one")[0].weights.read_bytes() == expected, seed
        except UsageError as error:
            assert "checkpoint.ckpt' is damaged" in str(error)


def test_one_of_another_training_is_named(fit_small, interrupted, tmp_path):
    folder = interrupted(tmp_path / "run")
    with pytest.raises(UsageError, match=r"another training \(it belongs to a training with other settings or on other data\)"):
        fit_small(folder, mark="that one")
    # Without marks, as those of older versions, what is in it tells.
    with pytest.raises(UsageError, match=DAMAGED):
        fit_small(folder, backbone="test_efficientnet")


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_code_in_one_is_not_executed(fit_small, interrupted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = interrupted(tmp_path / "run")
    path = folder / "checkpoint.ckpt"
    contents = torch.load(path, weights_only=True)
    torch.save({**contents, "history": Evil()}, path)
    with pytest.raises(UsageError, match=DAMAGED):
        fit_small(folder, mark="this one")
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UsageError, match=DAMAGED):
        fit_small(folder, mark="this one")
    assert not (tmp_path / "executed").exists()


def test_a_run_that_was_started_by_another_recipe_does_not_take_it(tmp_path):
    """The checkpoint of a run is bound to it: here that of an older version, with another backbone in its recipe."""
    legacy = shutil.copytree(LEGACY, tmp_path / "legacy", ignore=shutil.ignore_patterns("*.py", "benchmark"))
    recipe = legacy / "interrupted/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("test_efficientnet", "test_resnet"))
    with pytest.raises(UsageError, match=DAMAGED):
        train(data=str(legacy / "data/photos/labels.csv"), out=legacy / "interrupted", resume=True)


def test_an_error_of_the_training_itself_is_not_the_checkpoint(fit_small, interrupted, tmp_path):
    with pytest.raises(StoppedError):
        fit_small(interrupted(tmp_path / "run"), callbacks=[StopAfter(1)], mark="this one")
