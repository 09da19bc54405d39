"""The choice of a method, step by step within its budget; each step is recorded, so that an interrupted choice goes on."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from balanced_mixup.benchmark.estimate import training_seconds
from balanced_mixup.benchmark.plan import NamedPrior
from balanced_mixup.choose.budget import Budget, parse_budget, spent_before
from balanced_mixup.choose.candidates import PLAIN, candidates, not_screened, simplest, starts_from_plain
from balanced_mixup.choose.record import FILE, Choice, HeldOut, method_of
from balanced_mixup.choose.screening import FOLDS, screen, screened, screening_plan, settings_of_fold
from balanced_mixup.choose.trials import Halving, difference, replay, rivals, run_trial, tested, with_scores
from balanced_mixup.data.folds import UNUSED, write_split
from balanced_mixup.data.preparation import Cache, Prepared, prepare
from balanced_mixup.data.sources import load
from balanced_mixup.errors import UsageError, human_time, nearest, shown
from balanced_mixup.evaluation.experiment import train
from balanced_mixup.extras import require
from balanced_mixup.files import write_atomically
from balanced_mixup.metrics import METRICS
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.statistics.scoring import score_intervals
from balanced_mixup.training.recipe import CHANGEABLE, Recipe, make_recipe
from balanced_mixup.words import counted, listed

log = logging.getLogger("balanced_mixup")

_SPENT = "spent.txt"  # seconds
_SCREENING = 0.35  # of the budget, at most
_SLACK = 0.9  # of what is left is planned with, as a busy machine is slower
_START_SECONDS = 15.0  # of a training: reading the data, scoring, intervals
_PRIORS = ("uniform", "train", "none")


def choose(
    *layers: Mapping[str, Any],
    budget: float | str = "20m",
    out: Path | str | None = None,
    metric: str | None = None,
    methods: Sequence[str] = (),
    prior: NamedPrior = "uniform",
    **settings: Any,
) -> Choice:
    """Choose a method for a data set within a budget of time.

        choice = choose(data="labels.csv", label_column="dx", group_column="patient", budget="20m", out="runs/choice")
        choice.winner, choice.inseparable, choice.held_out
        train(load_yaml(Path("runs/choice/recipe.yaml")), out="runs/mine")

    1. All methods train the head alone on frozen features of the pretrained backbone, in each of three inner folds of the
       training part.
    2. Plain training, then the better half, are trained in full on the first inner fold, by successive halving.
    3. Of those that cannot be told from the best the simplest is the answer. It and plain training are trained on the whole
       training part, and compared on the test split, which is opened here for the first time.

    Plain training corrected to another class prior is always among the candidates, as it costs nothing.

    Args:
        layers: Settings by name, such as a YAML file's; later ones and `settings` take precedence.
        budget: Seconds, or a duration such as "20m".
        out: Folder; `runs/choice-DATA` if not given. A choice in it is continued, with what is left of its budget.
        metric: The score that decides, of which higher is better; quadratic_kappa for ordinal classes, else balanced_accuracy.
        methods: To choose from, beside plain training; all that fit the classes if not given.
        prior: Class prior that predictions are corrected to: "uniform", "train", or "none".
        settings: Fields of `Recipe`, such as `size` and `backbone`; `epochs` is the most that a training has.

    Returns:
        What was found; also in choice.json, with recipe.yaml of the answer.

    Raises:
        UsageError: A setting is wrong, the data have no test split, or the budget is too small.
        DataError: Something is wrong with the data.
        RunError: A training failed.
    """
    require("Choosing a method", "choose", "optuna")
    seconds = parse_budget(budget) if isinstance(budget, str) else float(budget)
    recipe = _recipe(*layers, settings)
    _check(metric, prior)
    folder = folder_of(out, [{"data": recipe.data}])
    folder.mkdir(parents=True, exist_ok=True)
    clock = Budget(seconds, spent_before(folder / _SPENT))
    with locked(folder), clock.recorded(folder / _SPENT):
        return _Choosing.begin(folder, recipe, metric, tuple(methods), prior, seconds, clock).finished()


def folder_of(out: Path | str | None, layers: Sequence[Mapping[str, Any]]) -> Path:
    """Return the folder of a choice: `out`, or one named after the data."""
    if out is not None:
        return Path(out)
    data = next((layer["data"] for layer in reversed(layers) if "data" in layer), Recipe.model_fields["data"].default)
    return Path("runs") / f"choice-{Path(str(data)).stem}"


def _recipe(*layers: Mapping[str, Any]) -> Recipe:
    given = {name for layer in layers for name in layer}
    if taken := sorted(given & {"method", "sampling", "mix", "loss"}):
        raise UsageError(f"Expected no `{taken[0]}`, which is what is to be chosen; `methods` names those to choose from.")
    return make_recipe(*layers, {"method": PLAIN})


def _check(metric: str | None, prior: NamedPrior) -> None:
    if metric is not None and (metric not in METRICS or not METRICS[metric].higher_is_better):
        known = [name for name, each in METRICS.items() if each.higher_is_better]
        raise UsageError(f"Expected `metric` to be one of {', '.join(known)}, but got {shown(metric)}.{nearest(metric, known)}")
    if prior not in _PRIORS:
        raise UsageError(f"Expected `prior` to be one of {', '.join(_PRIORS)}, but got {shown(prior)}.")


class _Choosing:
    """A choice on its way."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        choice: Choice,
        prepared: Prepared,
        names: Sequence[str],
        prior: NamedPrior,
        clock: Budget,
    ) -> None:
        self.folder, self.recipe, self.choice, self.prepared = folder, recipe, choice, prepared
        self.names, self.prior, self.clock = names, prior, clock

    @classmethod
    def begin(
        cls,
        folder: Path,
        recipe: Recipe,
        metric: str | None,
        methods: Sequence[str],
        prior: NamedPrior,
        budget: float,
        clock: Budget,
    ) -> "_Choosing":
        """Return a new choice, or that in the folder, once all is checked."""
        manifest = load(recipe)
        metric = metric or ("quadratic_kappa" if manifest.ordinal else "balanced_accuracy")
        recipe = recipe.model_copy(update={"monitor": recipe.monitor or metric})
        names = candidates(methods, ordinal=manifest.ordinal)
        described = {name: value for name, value in recipe.settings().items() if name not in CHANGEABLE}
        described |= {"methods": names, "prior": prior, "metric": metric}
        choice = Choice(described, metric, budget)
        if (folder / FILE).is_file():
            choice = Choice.read(folder)
            if changed := [name for name, value in described.items() if choice.settings.get(name) != value]:
                raise UsageError(
                    f"The choice in {str(folder)!r} was started with other settings: {', '.join(changed)}. Choose another "
                    "`out`."
                )
        prepared = prepare(
            manifest,
            recipe.size,
            cache=Cache(recipe.cache, recipe.cache_dir),
            exclude_bad=recipe.exclude_bad,
            val_fraction=recipe.val_fraction,
            test_fraction=recipe.test_fraction,
            seed=recipe.seed,
            split_version=recipe.split_version,
            near_copies=recipe.near_copies,
        )
        if not len(prepared.manifest.rows("test")):
            raise UsageError(
                "Expected data with a test split, which judges the choice, but they have none: give `test_fraction`."
            )
        return cls(folder, recipe, replace(choice, budget=budget), prepared, names, prior, clock)

    def finished(self) -> Choice:
        """Take all steps that have not been taken yet."""
        if self.choice.winner and self.choice.held_out:
            log.info("The choice in %s is already finished.", self.folder)
            return self.choice
        self._screen()
        self._plan()
        self._train_in_full()
        self._decide()
        self._open_the_held_out_part()
        return self.choice

    def _record(self, stage: str, start: float, **changes: Any) -> None:
        """Add to the record, and write it."""
        stages = {**self.choice.stages, stage: self.choice.stages.get(stage, 0.0) + time.monotonic() - start}
        self.choice = replace(self.choice, spent=self.clock.spent, stages=stages, **changes)
        self.choice.write(self.folder)

    # ---- 1. Screening ----

    def _screen(self) -> None:
        """Train the head of every method on frozen features in inner folds."""
        if self.choice.screened:
            return
        start, manifest = time.monotonic(), self.prepared.manifest
        split_file = self.folder / "training-part.csv"
        inside = np.where(manifest.split == "test", UNUSED, "train")
        write_atomically(split_file, partial(write_split, names=manifest.images.names, split=inside))
        images = {"training": int((inside == "train").sum()), "held out": len(manifest.rows("test"))}
        self.choice = replace(self.choice, images=images)
        self._refuse_too_small()
        rows = manifest.rows("train")
        settings = {**self.recipe.model_dump(exclude={"method"}), "train": "head"}
        unscreened = not_screened(self.names, settings, manifest.labels[rows], len(manifest.classes))
        methods = [name for name in self.names if name not in unscreened]
        plan = screening_plan(self.recipe, split_file.resolve(), methods, self.choice.metric, self.prior)
        log.info("1. Screening %s on frozen features, in %d inner folds.", counted(len(plan.methods), "method"), FOLDS)
        deadline = self.clock.deadline(reserve=(1 - _SCREENING) * self.clock.seconds)
        screen(plan, self.folder / "screening", self.recipe, deadline)
        found = screened(self.folder / "screening", self.choice.metric)
        late = {name: "there was no time left" for name in self.names if name not in {each.method for each in found}}
        self._record("screening", start, screened=found, unscreened={**late, **unscreened})
        for each in found[:5]:
            log.info("   %s %.3f", each.label, each.score)

    # ---- 2. Full trainings ----

    def _plan(self) -> None:
        """Fix the order of the full trainings, and their epochs, by what is left of the budget."""
        if self.choice.epochs:
            return
        start = time.monotonic()
        ranked = list(dict.fromkeys(each.method for each in self.choice.screened))
        half = ranked[: max(2, len(ranked) // 2)]
        others = [name for name in self.names if name in self.choice.unscreened]
        order = list(dict.fromkeys([PLAIN, *half, *others]))
        epochs = self.recipe.epochs
        while epochs > 0 and self._least(epochs) > _SLACK * self.clock.left:
            epochs -= 1
        if not epochs:
            self._refuse_too_small()
        log.info("2. Full trainings of at most %d epochs: %s.", epochs, ", ".join(order))
        self._record("full trainings", start, epochs=epochs, order=tuple(order))

    def _refuse_too_small(self) -> None:
        """Raise UsageError where not even trainings of a single epoch fit in what is left of the budget."""
        if self._least(1) > _SLACK * self.clock.left:
            need = self.clock.spent + self._least(1) / _SLACK
            raise UsageError(
                f"The budget of {human_time(self.clock.seconds)} is too small: with a single epoch a choice takes about "
                f"{human_time(need)} on this machine. Give a larger `budget`, or lower `size`."
            )

    def _seconds(self, epochs: int, part: float) -> float:
        """Return the estimated seconds of a training on a part of the images of the training part."""
        images = self.choice.images["training"]
        train_images, val_images = part * (1 - self.recipe.val_fraction) * images, part * self.recipe.val_fraction * images
        return _START_SECONDS + training_seconds(self.recipe, train_images, val_images, epochs)

    def _final(self, epochs: int) -> float:
        return 2 * self._seconds(epochs, 1.0)

    def _least(self, epochs: int) -> float:
        """Return the seconds of the least that is worth it: plain training and another one in full, and the final two."""
        return self._final(epochs) + 2 * self._seconds(epochs, 1 - 1 / FOLDS)

    def _train_in_full(self) -> None:
        """Train by successive halving until the time for it is over."""
        halving = Halving(self.choice.epochs)
        for trial in self.choice.trials:
            replay(trial, halving)
        settings = {
            **settings_of_fold(self.folder / "screening"),
            **self.recipe.model_dump(mode="json", include={"train", "threads", "accelerator", "cache", "cache_dir"}),
            "epochs": self.choice.epochs,
        }
        shortest = _START_SECONDS + self._seconds(1, 1 - 1 / FOLDS)
        for method in self.choice.order[len(self.choice.trials) :]:
            start = time.monotonic()
            # Plain training is needed whatever it costs, and what starts from it costs seconds.
            deadline = self.clock.deadline(self._final(self.choice.epochs))
            if method != PLAIN and deadline - start < (shortest if not starts_from_plain(method) else _START_SECONDS):
                log.info("   The time for full trainings is over.")
                break
            late = start + 2 * self.clock.seconds if method == PLAIN else deadline
            trial = run_trial(method, settings, self.folder / "trials", self.choice.metric, halving, late)
            if trial.fate == "finished":
                trial = with_scores(trial, tested(self.folder / "trials", method, self.prior), self.choice.metric)
            if method == PLAIN and trial.fate != "finished":
                raise UsageError(f"Plain training failed, with which all others are compared: {trial.reason}")
            said = ", ".join(f"{label} {score:.3f}" for label, score in trial.scores.items()) or trial.reason
            log.info("   %s: %s%s", method, trial.fate, f" ({said})" if said else "")
            self._record("full trainings", start, trials=(*self.choice.trials, trial))

    # ---- 3. The answer ----

    def _decide(self) -> None:
        """Choose the simplest of those that cannot be told from the best."""
        if self.choice.winner:
            return
        start = time.monotonic()
        finished = [trial.method for trial in self.choice.trials if trial.fate == "finished"]
        found = {label: each for name in finished for label, each in tested(self.folder / "trials", name, self.prior).items()}
        compared = rivals(found, self.choice.metric)
        winner = simplest([rival.label for rival in compared if rival.inseparable])
        log.info("   Not to be told apart: %s. The simplest: %s.", listed([r.label for r in compared if r.inseparable]), winner)
        self._record("full trainings", start, rivals=compared, winner=winner)

    def _open_the_held_out_part(self) -> None:
        """Train the answer and plain training on the whole training part, and compare them on the test split."""
        start = time.monotonic()
        log.info("3. Training %s on the whole training part; then the held-out part is opened.", self.choice.winner)
        winner, folder = self.choice.method, self.folder / "final"
        names = list(dict.fromkeys([PLAIN, winner]))
        unfinished = [name for name in names if not (folder / name / "recipe.yaml").is_file()]
        epochs = self.choice.epochs
        while epochs > 1 and len(unfinished) == len(names) and len(names) * self._seconds(epochs, 1.0) > self.clock.left:
            epochs -= 1  # the machine has become slower than it was
        settings = {**self.recipe.model_dump(exclude={"method"}), "epochs": epochs}
        found: dict[str, Predictions] = {}
        for name in names:
            base = folder / PLAIN if starts_from_plain(name) else None
            train(settings, {"method": name}, out=folder / name, resume=True, base=base)
            found |= tested(folder, name, self.prior)
        shown_labels = dict.fromkeys([PLAIN, *(label for label in found if method_of(label) == PLAIN), self.choice.winner])
        held_out = tuple(_held_out(label, found, self.choice.metric) for label in shown_labels)
        recipe = (folder / winner / "recipe.yaml").read_text(encoding="utf-8")
        write_atomically(self.folder / "recipe.yaml", lambda path: path.write_text(recipe, encoding="utf-8"))
        self._record("held-out part", start, held_out=held_out)


def _held_out(label: str, found: Mapping[str, Predictions], metric: str) -> HeldOut:
    own, plain = found[label], found[PLAIN]
    score = score_intervals(own.labels, own.probabilities, own.groups, classes=own.classes, metrics=[metric])[metric]
    less = (0.0, 0.0, 0.0) if label == PLAIN else difference(own, plain, metric)
    return HeldOut(label, score.value, score.low, score.high, *less)
