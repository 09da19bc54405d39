"""Trainings of several stages: what each trains, what they hand on, and that a kill at any moment changes no bit."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file
from staged_fixture import sha256

from balanced_mixup.errors import UsageError
from balanced_mixup.heads import Cosine, Softmax
from balanced_mixup.methods import METHODS, Instance, Stage, TrainSet
from balanced_mixup.mixing import BalancedMixUp, MixUp
from balanced_mixup.training.backbones import apply_head, create, features_of, head_layer, set_head
from balanced_mixup.training.segments import segments_of
from balanced_mixup.training.training_files import SegmentEnd, TrainingFiles

TRAIN_SET = TrainSet(np.array([0, 0, 1, 2]), 3, 2, 0)


def test_the_head_stage_leaves_every_tensor_of_the_backbone_as_it_was(staged, fitted):
    run, model = fitted("retrained-test")
    plain, end = load_file(run.end_of_base.weights), load_file(run.weights)
    of_head = {name for name, module in model.named_modules() if module is head_layer(model)}
    changed = {name for name in end if not torch.equal(plain[name], end[name])}
    assert changed == {f"{name}.{kind}" for name in of_head for kind in ("weight", "bias")}
    # And the base is plain training, bit for bit.
    assert sha256(fitted("instance")[0].weights) == sha256(run.end_of_base.weights)


def test_the_history_names_the_stages_and_numbers_the_epochs_through(staged, fitted):
    expected = {
        "retrained-test": ["train"] * 2 + ["head"] * 2,
        "deferred-test": ["plain", "weighted"],
        "normalised-test": ["train"] * 2,
        "chain-test": ["train"] * 2 + ["head"] * 2 + ["all"] * 2,
        "shifted-test": ["train"] * 2 + ["head"],
    }
    for method, stages in expected.items():
        history = pd.read_csv(fitted(method)[0].history)
        assert history["stage"].tolist() == stages
        assert history["epoch"].tolist() == list(range(1, len(stages) + 1))
        assert list(history.columns[:4]) == ["epoch", "stage", "learning_rate", "train_loss"]


def test_stages_that_share_an_optimiser_are_one_training_with_one_schedule(staged, fitted):
    deferred, plain = (pd.read_csv(fitted(method)[0].history) for method in ("deferred-test", "instance"))
    assert deferred["learning_rate"].tolist() == plain["learning_rate"].tolist()
    columns = [name for name in plain.columns if name != "stage"]
    pd.testing.assert_frame_equal(deferred[columns][:1], plain[columns][:1])
    assert deferred["train_loss"][1] != plain["train_loss"][1]
    assert not fitted("deferred-test")[0].end_of_segment(1).weights.exists()


def test_finish_changes_the_model_and_nothing_else(staged, fitted):
    run, model = fitted("normalised-test")
    plain, end = load_file(run.end_of_base.weights), load_file(run.weights)
    assert head_layer(model).weight.norm(dim=1).tolist() == pytest.approx([1, 1, 1])
    assert sum(not torch.equal(plain[name], end[name]) for name in end) == 1
    # What starts from a method that finishes starts from the finished model.
    assert sha256(fitted("shifted-test")[0].end_of_base.weights) == sha256(run.weights)


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("retrained-test", {}),
        ("deferred-test", {"feature_copies": 1}),
        ("shifted-test", {}),
        ("gcl", {"head_epochs": 2}),
        ("chain-test", {"ema_decay": 0.0, "patience": 1, "schedule": "plateau", "plateau_patience": 0}),
    ],
)
def test_killed_after_every_file_that_it_writes(staged, fitted, fit_small, tmp_path, monkeypatch, method, change):
    whole, _ = fitted(method, **change)
    real, moments = Path.replace, set()

    def replace_and_die(path, target):
        real(path, target)
        # Written again with the same content it is no new moment; what a training cost is never the same.
        moment = target.name, "" if target.name == "cost.json" else sha256(target)
        if target.name != "history.csv" and moment not in moments:
            moments.add(moment)
            raise Killed

    while not (tmp_path / "cut/weights.safetensors").exists():
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace_and_die)
            with suppress(Killed):
                fit_small(tmp_path / "cut", method=method, **change)
    cut = TrainingFiles(tmp_path / "cut")
    assert sha256(cut.weights) == sha256(whole.weights)
    assert cut.history.read_bytes() == whole.history.read_bytes()
    assert json.loads(cut.cost.read_text())["resumed"]
    handed_on = {"deferred-test": 0, "gcl": 1, "shifted-test": 1, "retrained-test": 1, "chain-test": 2}[method]
    assert sum(name.endswith(".safetensors") for name, _ in moments) == 1 + handed_on
    assert len(moments) >= 4 + 2 * handed_on
    cut.remove_checkpoints()
    left = {path.name for path in cut.path.iterdir()}
    of_base = {"base.json", "base.safetensors"} if METHODS[method]().base() else set()
    assert left == {"history.csv", "cost.json", "weights.safetensors", *of_base}


def test_a_base_of_another_run_gives_the_bits_of_one_trained_in_place(staged, fitted, fit_small, tmp_path):
    plain, whole = fitted("instance")[0], fitted("retrained-test")[0]
    ends = {"base": SegmentEnd(plain.weights, plain.history), "sibling": whole.end_of_base}
    for name, end in ends.items():
        run, _ = fit_small(tmp_path / name, method="retrained-test", base=end)
        assert sha256(run.weights) == sha256(whole.weights)
        assert run.history.read_bytes() == whole.history.read_bytes()
        assert not run.end_of_base.weights.exists()
    # A run that has its own end of the base goes on from that.
    own = shutil.copytree(whole.path, tmp_path / "own")
    (own / "weights.safetensors").unlink()
    run, _ = fit_small(own, method="retrained-test", base=SegmentEnd(tmp_path / "none", tmp_path / "none"))
    assert sha256(run.weights) == sha256(whole.weights)


def test_a_damaged_end_of_a_stage_is_named(staged, fitted, fit_small, tmp_path):
    run = TrainingFiles(shutil.copytree(fitted("retrained-test")[0].path, tmp_path / "run"))
    for path, message in (
        (run.end_of_base.history, r"The history '.*base\.json' of an earlier stage is missing or damaged"),
        (run.end_of_base.weights, r"The weights '.*base\.safetensors' of an earlier stage are damaged or of another model"),
    ):
        good = path.read_bytes()
        path.write_bytes(b"nothing")
        with pytest.raises(UsageError, match=message):
            fit_small(run.path, method="retrained-test")
        path.write_bytes(good)


def scored(monkeypatch, scores):
    """Let the epochs have these scores."""
    values = iter(scores)
    found = {"balanced_accuracy": 0.5}
    monkeypatch.setattr("balanced_mixup.training.module.score", lambda y, p: {"mcc": next(values), **found})


def test_the_best_epoch_is_chosen_within_the_last_stage(staged, fit_small, tmp_path, monkeypatch, caplog):
    """However good the first stage was."""
    caplog.set_level("INFO", "balanced_mixup")
    scored(monkeypatch, [0.9, 0.8, 0.1, 0.3, 0.2])
    states = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer, module):
            states.append({name: tensor.clone() for name, tensor in module.model.state_dict().items()})

    run, _ = fit_small(tmp_path / "run", method=staged.Deferred(plain_share=0.4), epochs=5, ema_decay=0.0, callbacks=[Watch()])
    kept = load_file(run.weights)
    assert [all(torch.equal(state[name], kept[name]) for name in kept) for state in states] == [False] * 3 + [True, False]
    best = ["(best so far)" in message for message in caplog.messages if message.startswith("Epoch")]
    assert best == [False, False, True, True, False]
    assert any(message.startswith("Kept epoch 4") for message in caplog.messages)


def test_a_method_can_keep_the_last_epoch(staged, fit_small, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "balanced_mixup")
    scored(monkeypatch, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    fit_small(tmp_path / "run", method="chain-test")
    kept = [message.partition(":")[0] for message in caplog.messages if message.startswith("Kept")]
    assert kept == ["Kept epoch 1", "Kept epoch 3", "Kept epoch 6"]


def test_early_stopping_ends_a_segment_and_the_next_one_follows(staged, fit_small, tmp_path, monkeypatch):
    scored(monkeypatch, [0.9, 0.8, 0.1, 0.2, 0.15])
    run, _ = fit_small(tmp_path / "run", method=staged.Retrained(head_epochs=3), epochs=5, patience=1)
    history = pd.read_csv(run.history)
    assert history["stage"].tolist() == ["train", "train", "head", "head", "head"]
    # Epochs keep the numbers that decide their draws, whenever the stage before has ended.
    assert history["epoch"].tolist() == [1, 2, 6, 7, 8]


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet", "resnetv2_18"])
def test_heads_replace_each_other_in_every_kind_of_model(backbone):
    model = create(backbone, 3, 32, "none", 0).model.eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for head in (Cosine(16.0), Softmax(), Cosine(2.0)):
        set_head(model, head, 3)
        outputs = model(images)
        assert outputs.shape == (2, 3)
        again = apply_head(head_layer(model), features_of(model, images))
        assert torch.allclose(again, outputs, atol=1e-5)
        if isinstance(head, Softmax):
            assert not outputs.any()
        else:
            assert 0 < outputs.abs().max() <= head.scale + 1e-4


def test_callbacks_see_every_segment(staged, fit_small, tmp_path):
    seen = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, module):
            seen.append(module.stage.name)

    fit_small(tmp_path / "run", method="retrained-test", epochs=1, callbacks=[Watch()])
    assert seen == ["train", "head", "head"]


def test_a_method_that_goes_on_with_another_kind_of_head_is_refused(staged):
    class Wrong(staged.Chain):
        def stages(self, data):
            return ()

    with pytest.raises(UsageError, match="has another head than retrained-test: its first stage needs `new_head`"):
        segments_of(Wrong(), TRAIN_SET)


def test_a_method_that_trains_nothing_is_refused():
    class Nothing(Instance):
        def stages(self, data):
            return ()

    with pytest.raises(UsageError, match="The method instance has neither stages nor a base: it trains nothing"):
        segments_of(Nothing(), TRAIN_SET)


def epochs_of(staged, epochs, *stages):
    """Return the first epochs of stages, each a share or a number of epochs, and the end."""

    class Some(Instance):
        def stages(self, data):
            branch = data.instance_branch()
            return tuple(Stage(branch, **({"epochs": s} if isinstance(s, int) else {"share": s})) for s in stages)

    (segment,) = segments_of(Some(), replace(TRAIN_SET, epochs=epochs))
    return [*(first for first, _ in segment.stages), segment.end]


@pytest.mark.parametrize(
    ("epochs", "stages", "firsts"),
    [
        (10, (0.8, 0.2), [0, 8, 10]),
        (5, (0.5, 0.5), [0, 2, 5]),  # 2.5 is rounded to 2, and the two have all epochs between them
        (12, (1 / 3, 1 / 3, 1 / 3), [0, 4, 8, 12]),
        (10, (1.0, 3), [0, 10, 13]),
        (10, (3, 1.0), [0, 3, 13]),
        (10, (0.5, 2, 0.5), [0, 5, 7, 12]),
        (1, (0.8, 0.2), [0, 1, 2]),  # each has at least one
        (10, (0.01, 0.99), [0, 1, 10]),
    ],
)
def test_epochs_of_stages(staged, epochs, stages, firsts):
    assert epochs_of(staged, epochs, *stages) == firsts


def test_stages_that_cannot_be(staged):
    branch = TRAIN_SET.instance_branch()
    with pytest.raises(UsageError, match="BalancedMixUp needs `partners`, the branch that partners are drawn from"):
        Stage(branch, mix=BalancedMixUp())
    with pytest.raises(UsageError, match="NoMix takes no `partners`"):
        Stage(branch, partners=branch)
    with pytest.raises(UsageError, match="Expected a stage of at least one epoch, but got share 0"):
        Stage(branch, share=0)
    with pytest.raises(UsageError, match=r"but got share 1\.0 and epochs 0"):
        Stage(branch, epochs=0)

    class Boxes(MixUp):
        mixes_features = False

    with pytest.raises(UsageError, match="Boxes mixes images, not features: it cannot train the head alone"):
        Stage(branch, mix=Boxes(), trains="head")
