"""Choosing a method: the budget, the order of candidates, the pruner, and a whole choice, killed once and resumed."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from balanced_mixup import UsageError, train
from balanced_mixup.benchmark.results import read_results
from balanced_mixup.choose import engine, trials
from balanced_mixup.choose.budget import Budget, parse_budget, spent_before
from balanced_mixup.choose.candidates import candidates, simplest
from balanced_mixup.choose.engine import choose
from balanced_mixup.choose.record import FILE, Choice, Trial
from balanced_mixup.choose.trials import Halving, difference, replay, rivals, smallest_rung
from balanced_mixup.cli import run as command
from balanced_mixup.methods import METHODS
from balanced_mixup.report.write import make_report
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.settings_file import load_yaml

METRIC = "balanced_accuracy"


@pytest.mark.parametrize("text, seconds", [("20m", 1200), ("90s", 90), ("1h30m", 5400), ("1.5 h", 5400)])
def test_a_budget_is_a_duration(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "m", "20 minutes", "-5m", "0s", "1d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="Expected `budget` to be "):
        parse_budget(text)


def test_a_budget_counts_earlier_attempts():
    now = [100.0]
    budget = Budget(60, spent=20, clock=lambda: now[0])
    now[0] = 110
    assert (budget.spent, budget.left) == (30, 30)
    assert budget.deadline(reserve=10) == 130


def test_what_was_spent_is_known_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("balanced_mixup.choose.budget._TICK", 0.01)
    assert spent_before(tmp_path / "spent.txt") == 0
    budget = Budget(60, spent=20, clock=lambda: 0.0)
    with budget.recorded(tmp_path / "spent.txt"):
        while not spent_before(tmp_path / "spent.txt"):
            pass
        assert spent_before(tmp_path / "spent.txt") == 20


def test_candidates():
    every = candidates((), ordinal=False)
    assert every[0] == "instance" and "combined" not in every
    assert set(candidates((), ordinal=True)) - set(every) == {"corn", "coral"}
    assert candidates(("class",), ordinal=False) == ["instance", "class"]
    with pytest.raises(UsageError, match="The method corn is for grades"):
        candidates(("corn",), ordinal=False)
    with pytest.raises(UsageError, match="Did you mean 'class'"):
        candidates(("clas",), ordinal=False)


def test_the_simplest_changes_least():
    labels = ["crt", "balanced-mixup", "class", "instance, uniform prior", "instance"]
    order = []
    while labels:
        order.append(simplest(labels))
        labels.remove(order[-1])
    assert order == ["instance", "instance, uniform prior", "class", "balanced-mixup", "crt"]


def test_the_pruner_drops_what_is_behind_and_never_plain_training():
    halving = Halving(epochs=8)
    assert smallest_rung(8) == 1
    plain = halving.begin("instance")
    assert not any(plain(score) for score in (0.5, 0.5, 0.5, 0.5))
    better = halving.begin("class")
    assert not any(better(score) for score in (0.6, 0.6, 0.6, 0.6))
    worse = halving.begin("sqrt")
    assert [worse(0.4)] == [True]
    again = Halving(epochs=8)  # the same, replayed from a record
    for method, path in (("instance", (0.5,) * 4), ("class", (0.6,) * 4)):
        replay(Trial(method, "finished", tuple((0.0, score) for score in path)), again)
    assert again.begin("sqrt")(0.4)
    after_plain = again.begin("crt")
    assert not after_plain(0.0)


def predictions(strength, seed, images=400):
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 4
    logits = rng.normal(size=(images, 4)) + strength * np.eye(4)[labels]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = tuple(map(str, range(images)))
    return Predictions(names, labels, p.astype(np.float32), ("a", "b", "c", "d"), None, np.full(images, "test"))


def test_rivals_that_are_far_behind_can_be_told_apart():
    found = {"best": predictions(3, 0), "near": predictions(2.95, 1), "far": predictions(0.5, 2)}
    by_label = {rival.label: rival for rival in rivals(found, METRIC)}
    assert by_label["best"].difference == 0 and by_label["best"].inseparable
    assert by_label["near"].inseparable and not by_label["far"].inseparable
    assert by_label["far"].low > 0.2


@pytest.fixture(scope="module")
def settings(blobs):
    tiny = {"size": 32, "epochs": 2, "batch_size": 8, "weights": "none", "accelerator": "cpu", "backbone": "test_efficientnet"}
    return {"data": str(blobs / "labels.csv"), "group_column": "patient", **tiny}


@pytest.fixture
def fast(monkeypatch):
    """A machine whose speed need not be measured, so that nothing depends on how busy it is."""
    monkeypatch.setattr(engine, "training_seconds", lambda recipe, train, val, epochs: 1.0 * epochs)
    monkeypatch.setattr(engine, "FOLDS", 2)
    monkeypatch.setattr("balanced_mixup.choose.screening.FOLDS", 2)


METHODS_TRIED = ("class", "cutmix")


def test_a_choice_from_start_to_end_killed_once(settings, tmp_path, fast, monkeypatch, capsys):
    out = tmp_path / "choice"
    begun = []

    def killed(method, *arguments, **others):
        begun.append(method)
        if method == "class" and begun.count("class") == 1:
            raise KeyboardInterrupt
        return trials.run_trial(method, *arguments, **others)

    monkeypatch.setattr(engine, "run_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        choose(settings, budget="2h", out=out, methods=METHODS_TRIED, metric=METRIC)
    part = Choice.read(out)
    assert part.spent > 0 and not part.winner and [trial.method for trial in part.trials] == ["instance"]
    assert any("not finished" in block.text for block in make_report(out, out).sections[0].blocks if hasattr(block, "text"))
    screening = {path: path.stat().st_mtime_ns for path in out.glob("screening/runs/*/metrics.json")}
    choice = choose(settings, budget="2h", out=out, methods=METHODS_TRIED, metric=METRIC)
    # Nothing was made twice.
    assert begun == ["instance", "class", "class", "cutmix"]
    assert screening == {path: path.stat().st_mtime_ns for path in out.glob("screening/runs/*/metrics.json")}
    assert choice.spent > part.spent
    # The screening: heads alone, in inner folds of the training part.
    assert choice.unscreened.keys() == {"cutmix"} and "mixes images, not features" in choice.unscreened["cutmix"]
    assert {each.label for each in choice.screened} == {"instance", "instance, uniform prior", "class"}
    runs = read_results(out / "screening").scores
    for each in choice.screened:
        assert each.score == pytest.approx(runs[runs["method"] == each.label][METRIC].mean())
    held_out = set(Run.open(out / "final" / "instance").images.query("split == 'test'")["image"])
    for folder in [*out.glob("screening/runs/*"), *out.glob("trials/*")]:
        if folder.is_dir() and (folder / "manifest.csv").is_file():
            assert not held_out & set(Run.open(folder).images["image"])
    # The trainings in full, and the answer.
    finished = {trial.method: trial for trial in choice.trials if trial.fate == "finished"}
    assert finished["instance"].scores.keys() == {"instance", "instance, uniform prior"}
    assert len(finished["instance"].path) == choice.epochs == 2
    own = Run.open(out / "trials" / "instance").scores["test"].metrics[METRIC].value
    assert finished["instance"].scores["instance"] == pytest.approx(own)
    assert choice.winner == simplest(choice.inseparable)
    # The held-out part.
    by_label = {each.label: each for each in choice.held_out}
    assert {"instance", "instance, uniform prior", choice.winner} == set(by_label)
    final = Run.open(out / "final" / "instance").scores["test"].metrics[METRIC]
    assert (by_label["instance"].score, by_label["instance"].difference) == (pytest.approx(final.value), 0)
    recipe = load_yaml(out / "recipe.yaml")
    assert recipe["method"] == choice.method
    # The same again does nothing, another choice in the folder is refused.
    assert choose(settings, budget="2h", out=out, methods=METHODS_TRIED, metric=METRIC) == choice
    with pytest.raises(UsageError, match="was started with other settings: methods"):
        choose(settings, budget="2h", out=out, methods=("class",), metric=METRIC)
    # In the terminal, and as a page.
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    arguments = ["choose", "--config", str(tmp_path / "settings.yaml"), "--budget", "2h", "--out", str(out), "--metric", METRIC]
    assert command([*arguments, "--methods", *METHODS_TRIED]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"The answer: {choice.winner}." in printed and f"bmixup train --config {out / 'recipe.yaml'}" in printed
    report = make_report(out, out)
    assert [chart.name for chart in report.charts()] == ["screening", "halving"]
    assert (out / "report.html").is_file()
    # What it wrote trains.
    made = train(load_yaml(out / "recipe.yaml"), out=tmp_path / "mine", epochs=1)
    assert made.recipe.method.name == choice.method


def test_a_difference_is_that_of_compare(tmp_path, settings):
    one, other = predictions(2, 0), predictions(1, 1)
    assert difference(one, other, METRIC)[0] == pytest.approx(
        np.mean([np.mean(one.probabilities.argmax(1)[one.labels == k] == k) for k in range(4)])
        - np.mean([np.mean(other.probabilities.argmax(1)[other.labels == k] == k) for k in range(4)])
    )


def test_a_budget_that_is_too_small_is_refused_with_what_it_takes(settings, tmp_path, monkeypatch, fast):
    monkeypatch.setattr(engine, "screen", lambda *arguments: None)
    monkeypatch.setattr(engine, "screened", lambda *arguments: ())
    monkeypatch.setattr(engine, "training_seconds", lambda recipe, train, val, epochs: 100.0 * epochs)
    with pytest.raises(UsageError, match="The budget of 60 s is too small: with a single epoch a choice takes about 9 min"):
        choose(settings, budget="60s", out=tmp_path, methods=("class",))


def test_bad_use(settings, tmp_path):
    for more, message in (
        ({"method": "class"}, "Expected no `method`, which is what is to be chosen"),
        ({"metric": "log_loss"}, "Expected `metric` to be one of "),
        ({"prior": "clinic.csv"}, "Expected `prior` to be one of uniform, train, none"),
        ({"test_fraction": 0}, "Expected data with a test split, which judges the choice"),
        ({"budget": "soon"}, "Expected `budget` to be a duration"),
    ):
        with pytest.raises(UsageError, match=message):
            choose(settings, out=tmp_path / "choice", **more)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / FILE).write_text(json.dumps({"format": 1, "settings": {}}))
    with pytest.raises(UsageError, match="is damaged"):
        Choice.read(tmp_path / "damaged")
    with pytest.raises(UsageError, match=r"to be the folder of a choice, but it has no choice\.json"):
        Choice.read(Path(tmp_path))


def test_every_method_can_be_a_candidate():
    assert len(candidates((), ordinal=True)) == len(METHODS) - 1
    assert not math.isnan(Budget(1).left)
