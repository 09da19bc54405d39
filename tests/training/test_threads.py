"""The number of threads is recorded, kept when a run is resumed, and a warning where something else cannot be kept."""

import json
import os

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from staged_fixture import sha256

from balanced_mixup import UsageError, train
from balanced_mixup.runs.environment import describe_environment, differences
from balanced_mixup.training.recipe import make_recipe
from balanced_mixup.training.threads import computing_with, threads_of


class StoppedError(Exception):
    pass


class Watch(Callback):
    """Notes the threads of each epoch, and can stop the training at the start of one."""

    def __init__(self, stop=None):
        self.stop, self.threads = stop, []

    def on_train_epoch_start(self, trainer, module):
        self.threads.append((torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]))
        if module.current_epoch == self.stop:
            raise StoppedError


@pytest.fixture
def one_thread(monkeypatch):
    """A process that was started with OMP_NUM_THREADS=1."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_a_run_that_was_started_with_two_threads_is_resumed_with_two(tiny, tmp_path, one_thread, caplog):
    first, second = Watch(stop=0), Watch(stop=0)
    for watch, threads, resume in ((first, 2, False), (second, 1, True)):
        torch.set_num_threads(threads)  # 2, as without the variable on two cores
        with pytest.raises(StoppedError):
            train(tiny, out=tmp_path / "run", resume=resume, callbacks=[watch])
    assert first.threads == second.threads == [(2, "2")]
    assert "bit-identical" not in caplog.text


@pytest.mark.slow  # two threads on a busy machine wait for each other
def test_a_run_of_two_threads_that_is_resumed_with_one_ends_with_the_same_bits(tiny, tmp_path, one_thread, caplog):
    caplog.set_level("INFO", "balanced_mixup")
    settings = {**tiny, "epochs": 2, "backbone": "test_resnet", "batch_size": 16}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    torch.set_num_threads(2)  # as without the variable on two cores
    train(settings, out=whole)
    with pytest.raises(StoppedError):
        train(settings, out=cut, callbacks=[Watch(stop=1)])
    torch.set_num_threads(1)
    watch = Watch()
    train(settings, out=cut, resume=True, callbacks=[watch])
    assert watch.threads == [(2, "2")]
    assert json.loads((cut / "environment.json").read_text())["torch_threads"] == 2
    assert sha256(cut / "weights.safetensors") == sha256(whole / "weights.safetensors")
    assert "bit-identical" not in caplog.text


def test_what_cannot_be_kept_is_a_warning_and_recorded(tiny, tmp_path, caplog, one_thread):
    settings = {**tiny, "epochs": 2}
    with pytest.raises(StoppedError):
        train(settings, out=tmp_path, callbacks=[Watch(stop=1)])
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["torch_threads"] == 1 and environment["torch_interop_threads"] >= 1
    assert environment["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert (environment["device"], environment["processes"]) == ("cpu", 1)
    environment["versions"]["torch"] = "1.0"
    (tmp_path / "environment.json").write_text(json.dumps({**environment, "cpu_capability": "SSE", "torch_threads": 3}))
    watch = Watch()
    run = train(settings, out=tmp_path, resume=True, threads=1, callbacks=[watch]).run
    assert watch.threads == [(1, "1")]
    changed = run.environment["changed_when_resumed"]
    assert [text.partition(" was ")[0] for text in changed] == ["the instruction set", "the number of threads", "torch"]
    said = "The resumed run will not be bit-identical to an undisturbed one: the instruction set was SSE, now "
    assert said in caplog.text and "; the number of threads was 3, now 1; torch was 1.0, now " in caplog.text
    assert run.environment["torch_threads"] == 3 and run.recipe.threads == 1
    assert run.verify()


def test_an_older_record_is_compared_as_far_as_it_goes():
    now = describe_environment(make_recipe({"accelerator": "cpu"}), 2, "x")
    assert list(differences(now, now)) == []
    old = {"versions": dict(now["versions"]), "processor": "x86_64", "torch_threads": 2, "gpu": None}
    assert list(differences(old, now)) == []
    assert list(differences({**old, "torch_threads": 1}, now)) == ["the number of threads was 1, now 2"]
    assert list(differences({"versions": 3}, now)) == []


def test_the_threads_of_several_processes(one_thread, monkeypatch):
    torch.set_num_threads(2)
    assert threads_of(make_recipe({"devices": 2})) == 2  # as the variable says
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_of(make_recipe({"devices": 2})) == 1
    assert threads_of(make_recipe({})) == 2
    assert threads_of(make_recipe({"devices": 2, "threads": 3})) == 3
    with computing_with(3):
        # In the processes that are started here, too, and Lightning leaves it.
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (3, "3")
    assert torch.get_num_threads() == 2 and "OMP_NUM_THREADS" not in os.environ
    torch.set_num_threads(1)


def test_a_number_of_threads_that_cannot_be():
    with pytest.raises(UsageError, match="Expected `threads` to be greater than or equal to 1, but got 0"):
        make_recipe({"threads": 0})
