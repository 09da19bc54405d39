"""An experiment: train by a recipe, then score the held-out splits. This is `bmixup train`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from balanced_mixup.data.inspection import check_table
from balanced_mixup.data.manifest import SPLITS, Manifest
from balanced_mixup.data.sources import SUGGESTIONS, load
from balanced_mixup.errors import BalancedMixupError, UsageError
from balanced_mixup.evaluation.run_start import (
    begin,
    cleared_if_refused,
    frame_as_file,
    frame_in,
    new_folders,
    own_folder,
    resumed_recipe,
    with_absolute_paths,
    with_frame_named,
)
from balanced_mixup.files import write_text
from balanced_mixup.methods import TrainSet
from balanced_mixup.metrics import METRICS, applicable
from balanced_mixup.randomness import torch_seed
from balanced_mixup.runs.digests import check_digest, write_digests
from balanced_mixup.runs.environment import describe_environment, differences, fingerprint, recorded_threads
from balanced_mixup.runs.formats import ENVIRONMENT_FILE, METRICS_FILE, file_text, write_file
from balanced_mixup.runs.identity import base_identity, identity
from balanced_mixup.runs.log import log_file
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.table_files import csv_text
from balanced_mixup.training.preflight import check_machine
from balanced_mixup.training.processes import GRACE_SECONDS, exit_with_parent, process_rank
from balanced_mixup.training.recipe import Recipe, make_recipe
from balanced_mixup.training.segments import check_classes, ends_on_features, first_method
from balanced_mixup.training.training_files import SegmentEnd

# Torch, Lightning and timm take seconds to import: the functions that compute import them, after a mistake has been refused.
if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from balanced_mixup.calibration.correction import Correction
    from balanced_mixup.data.preparation import Prepared
    from balanced_mixup.runs.predictions import Predictions
    from balanced_mixup.runs.run import Run
    from balanced_mixup.runs.scores import Scores
    from balanced_mixup.statistics.interval import Interval
    from balanced_mixup.training.backbones import Backbone
    from balanced_mixup.training.inputs import TrainingData

log = logging.getLogger("balanced_mixup")

_MOST_NAMES = 40  # of classes, in the log


@dataclass(frozen=True)
class Experiment:
    """A finished run: its folder, and the scores of its validation and test split.

    With several processes only the first one scores; in the others `scores` is empty.
    """

    folder: RunFolder
    recipe: Recipe
    scores: Mapping[str, Scores]

    def __repr__(self) -> str:
        """Return the folder, the method and the scores of each split in a few lines."""
        lines = [f"Experiment({str(self.folder.path)!r}, {self.recipe.method.name})"]
        return "\n".join([*lines, *(f"  {split}: {scores!r}" for split, scores in self.scores.items())])

    @property
    def run(self) -> Run:
        """The contents of the run's folder."""
        from balanced_mixup.runs.run import Run

        return Run(self.folder)


def train(
    *layers: Mapping[str, Any],
    out: Path | str | None = None,
    resume: bool = False,
    base: Path | str | None = None,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Experiment:
    """Train a classifier and score it on held-out images.

        experiment = train(data="labels.csv", label_column="dx", method="balanced-mixup", alpha=0.2, out="runs/mine")
        experiment = train(data="labels.csv", label_column="dx", method=BalancedMixUp(alpha=0.2), out="runs/mine")
        experiment.scores["test"].metrics["mcc"], experiment.run.predictions

    Args:
        layers: Settings by name, such as a YAML file's; later ones and `settings` take precedence.
        out: The run's folder; a new one under `runs` if not given.
        resume: Resume the run in `out`, with the settings it was started with.
        base: Folder of a run of the same settings in which the method's base (`Method.base`) has been trained.
        callbacks: Lightning's, for the training loop.
        settings: Fields of `Recipe` and of the method. `data` may be a data frame with the columns of a table; it is written to
            data.csv in the run's folder, and relative paths in it start from the working directory if `images` is not given.

    Raises:
        UsageError: A setting is wrong, or `out` holds another run.
        DataError: Something is wrong with the data.
        RunError: The training failed.
    """
    layers = (*layers, settings)
    if resume and out is None:
        raise UsageError("Expected `out` with `resume`: name the folder of the run to resume.")
    base_folder = None if base is None else Path(base)
    recipe = make_recipe(*layers, *([{"data": "frame"}] if frame_in(layers) is not None else []))
    if process_rank(recipe) > 0:
        run = RunFolder(Path(out) if out is not None else next(new_folders(recipe)))
        return _join_training(run, with_frame_named(layers, run, resume), resume, base_folder, callbacks)
    with own_folder(recipe, None if out is None else Path(out)) as run, frame_as_file(layers, run, resume) as named:
        return _run(run, named, resume, base_folder, callbacks)


def _run(
    run: RunFolder, layers: tuple[Mapping[str, Any], ...], resume: bool, base: Path | None, callbacks: Sequence[Callback]
) -> Experiment:
    """Train and score, or read what is finished, in a folder that this process has locked."""
    recipe, resumed = make_recipe(*layers), resume and run.recipe.is_file()
    recipe = resumed_recipe(run, layers) if resumed else begin(run, recipe)
    finished = resume and run.metrics.is_file()
    manifest = None if finished else _checked(recipe)
    with log_file(run) as note, nullcontext() if resumed else cleared_if_refused(run):
        if manifest is None:
            log.info("The run in %s is already finished.", run.path)
        else:
            from balanced_mixup.training.threads import computing_with

            with computing_with(threads := _threads(recipe, run)):
                _train(recipe, manifest, run, threads, base, callbacks)
        from balanced_mixup.runs.run import Run

        scores = Run(run).scores
        for split in sorted(scores):
            note(f"Scores ({split}): {_one_line(applicable(scores[split].metrics, Run(run).ordinal))}")
        return Experiment(run, recipe, scores)


def _one_line(metrics: Mapping[str, Interval]) -> str:
    scores = ((METRICS[name].label, score.value) for name, score in metrics.items())
    return ", ".join(f"{label} {value:.3f}" for label, value in scores if not math.isnan(value))


def _join_training(
    run: RunFolder, layers: tuple[Mapping[str, Any], ...], resume: bool, base: Path | None, callbacks: Sequence[Callback]
) -> Experiment:
    """Join a training that the first process manages; writes and logs nothing."""
    log.setLevel(logging.ERROR)
    exit_with_parent()
    recipe = make_recipe(*layers)
    try:
        recipe = resumed_recipe(run, layers) if resume and run.recipe.is_file() else with_absolute_paths(recipe)
        if not (resume and (run.metrics.is_file() or run.weights.is_file())):
            manifest = _checked(recipe)
            from balanced_mixup.training.fit import fit
            from balanced_mixup.training.threads import computing_with

            backbone, prepared = _start(recipe, manifest)
            end, mark = _end_of_base(recipe, prepared, base), _identity(recipe, prepared)
            with computing_with(_threads(recipe, run)):
                fit(recipe, backbone, _training_data(recipe, prepared), run, mark=mark, base=end, callbacks=callbacks)
    except BalancedMixupError:
        time.sleep(GRACE_SECONDS)  # the first process reports the error, and ends this one
        raise
    return Experiment(run, recipe, {})


def _checked(recipe: Recipe) -> Manifest:
    """Return the data, of which no image has been opened, once all is checked that can be checked without them."""
    check_machine(recipe)
    manifest = load(recipe)
    if not recipe.exclude_bad:
        check_table(manifest)
    check_classes(recipe.method, ordinal=manifest.ordinal)  # imports torch, which a mistake in the table does not wait for
    return manifest


def _threads(recipe: Recipe, run: RunFolder) -> int:
    """Return the number of threads of each process: a run that is resumed keeps the one that it was started with."""
    from balanced_mixup.runs.run import Run
    from balanced_mixup.training.threads import threads_of

    recorded = recorded_threads(Run(run).environment) if run.environment.is_file() else None
    return recipe.threads or recorded or threads_of(recipe)


def _identity(recipe: Recipe, prepared: Prepared) -> str:
    return identity(recipe, fingerprint(prepared.manifest, prepared.digests))


def _start(recipe: Recipe, manifest: Manifest) -> tuple[Backbone, Prepared]:
    """Return the initial model and the prepared data."""
    from balanced_mixup.data.preparation import Cache, prepare
    from balanced_mixup.training.backbones import create

    # Before the images are read, which can take long, so that missing weights are reported early.
    seed = torch_seed(recipe.seed, "initial weights")
    head = first_method(recipe.method).head()
    backbone = create(recipe.backbone, len(manifest.classes), recipe.size, recipe.weights, seed, head)
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
    return backbone, prepared


def _training_data(recipe: Recipe, prepared: Prepared) -> TrainingData:
    from balanced_mixup.data.cached_stores import default_cache_dir
    from balanced_mixup.training.inputs import FeatureCache, TrainingData

    manifest = prepared.manifest
    train, val = manifest.rows("train"), manifest.rows("val")
    directory = (recipe.cache_dir or default_cache_dir()) if recipe.cache in ("disk", "device") else None
    cached = FeatureCache(prepared.digests, directory, manifest.images.origin)
    return TrainingData(prepared.pixels, manifest.labels, train, val, len(manifest.classes), manifest.ordinal, cached)


def _train(
    recipe: Recipe, manifest: Manifest, run: RunFolder, threads: int, base: Path | None, callbacks: Sequence[Callback]
) -> None:
    from balanced_mixup.evaluation.evaluate import predict_rows, predictions_of
    from balanced_mixup.heads import head_to_dict
    from balanced_mixup.runs.classifier import Classifier
    from balanced_mixup.runs.scores import Scores
    from balanced_mixup.training.fit import fit

    check_digest(run, run.weights)
    run.digests.unlink(missing_ok=True)  # the scores of the run are to be made again
    backbone, prepared = _start(recipe, manifest)
    end = (
        None if run.weights.is_file() else _end_of_base(recipe, prepared, base)
    )  # an invalid base is refused before the run is started
    manifest = prepared.manifest
    splits = {split: manifest.rows(split) for split in SPLITS}
    log.info("%d images: %s.", len(manifest), ", ".join(f"{len(rows)} {split}" for split, rows in splits.items()))
    kind = "ordinal classes" if manifest.ordinal else "classes"
    names = manifest.classes if len(manifest.classes) <= _MOST_NAMES else (*manifest.classes[:_MOST_NAMES], "...")
    log.info("%d %s: %s.", len(manifest.classes), kind, ", ".join(names))
    _record_data(recipe, run, prepared, threads)
    card = ModelCard(
        backbone=recipe.backbone,
        classes=manifest.classes,
        ordinal=manifest.ordinal,
        size=recipe.size,
        bit_depth=recipe.bit_depth,
        mean=backbone.mean,
        std=backbone.std,
        head=head_to_dict(recipe.method.head()),
    )
    card.write(run.model)
    data = _training_data(recipe, prepared)
    if not run.weights.is_file():
        mark = _identity(recipe, prepared)
        fit(recipe, backbone, data, run, mark=mark, base=end, callbacks=callbacks)
    run.remove_checkpoints()
    rows = np.concatenate([splits["val"], splits["test"]])
    classifier = Classifier.load(run.path, "cpu" if recipe.accelerator == "cpu" else None)
    train_set = TrainSet(data.labels[data.train], data.num_classes, recipe.epochs, recipe.seed)
    if recipe.train == "head" or ends_on_features(recipe.method, train_set):
        predictions = predictions_of(prepared, rows, classifier.probabilities_by_features(data, rows))
    else:
        predictions = predict_rows(classifier, prepared, rows)
    predictions.write(run.predictions)
    calibrate(run, predictions, recipe, manifest.counts("train"))
    scores = {split: Scores.of(predictions.in_split(split)).to_dict() for split in ("val", "test") if len(splits[split])}
    text = file_text(scores, METRICS_FILE)
    write_digests(run, {run.metrics.name: text})
    write_text(run.metrics, text)  # last: the run is finished
    log.info("The run folder is %s.", run.path)


def calibrate(run: RunFolder, predictions: Predictions, recipe: Recipe, counts: npt.NDArray[np.int64]) -> Correction:
    """Fit the correction on the validation split of predictions, score it on each split, and store it in calibration.json.

    Args:
        run: The folder it is stored in.
        predictions: Of the validation split, and of the test split if there is one.
        recipe: Of the run.
        counts: (K,), training images of each class.
    """
    from balanced_mixup.calibration.correction import Correction

    splits = {name: predictions.in_split(name) for name in ("val", "test")}
    validation = splits["val"]
    fitted = Correction.fit(validation, validation.classes, recipe, counts)
    scores = {
        name: fitted.score_stages(split.labels, split.probabilities, split.groups)
        for name, split in splits.items()
        if len(split)
    }
    correction = fitted.model_copy(update={"scores": scores})
    write_text(run.calibration, correction.model_dump_json(indent=2) + "\n")
    return correction


def _end_of_base(recipe: Recipe, prepared: Prepared, folder: Path | None) -> SegmentEnd | None:
    """Return the result of the method's base in another run: a run of the base itself, or one with the same base."""
    if folder is None:
        return None
    from balanced_mixup.runs.run import Run

    base, wanted = recipe.method.base(), base_identity(recipe, fingerprint(prepared.manifest, prepared.digests))
    if base is None:
        raise UsageError(f"Expected no `base` with the method {recipe.method.name}, which starts from no other training.")
    other = Run.open(folder)
    fingerprint_there = str(other.environment.get("data_fingerprint"))
    if identity(other.recipe, fingerprint_there) == wanted and other.folder.weights.is_file():
        check_digest(other.folder, other.folder.weights, other.folder.history)
        return SegmentEnd(other.folder.weights, other.folder.history, _seconds(other))
    if base_identity(other.recipe, fingerprint_there) == wanted and other.folder.end_of_base.weights.is_file():
        return replace(other.folder.end_of_base, seconds=_seconds(other, of_base=True))
    raise UsageError(
        f"Expected `base` to be a finished training of {base.name} by the same settings and on the same data, but "
        f"{str(other.path)!r} is not."
    )


def _seconds(run: Run, *, of_base: bool = False) -> float | None:
    """Return how long the training of a run, or of its method's base, has taken, if that is known."""
    if not run.folder.cost.is_file() or run.cost.resumed:
        return None
    return run.cost.base_seconds if of_base else run.cost.seconds


def _record_data(recipe: Recipe, run: RunFolder, prepared: Prepared, threads: int) -> None:
    """Record recipe, data and environment of a run; when it is resumed, check that the data are unchanged.

    What else has changed, and decides about the last bits of the weights, is recorded and a warning.
    """
    import pandas as pd

    from balanced_mixup.evaluation.evaluate import write_excluded
    from balanced_mixup.runs.run import Run

    data_fingerprint = fingerprint(prepared.manifest, prepared.digests)
    environment = describe_environment(recipe, threads, data_fingerprint)
    resumed = run.environment.is_file()
    if resumed:
        recorded = Run(run).environment
        before = recorded.get("data_fingerprint")
        if before != data_fingerprint:
            raise UsageError(
                f"The data have changed since the run in {str(run.path)!r} was started (fingerprint {before}, "
                f"now {data_fingerprint}). Start a new run, or restore the data."
            )
        if changed := list(differences(recorded, environment)):
            log.warning("The resumed run will not be bit-identical to an undisturbed one: %s.", "; ".join(changed))
            write_file(run.environment, {**recorded, "changed_when_resumed": changed}, ENVIRONMENT_FILE)
    write_text(run.recipe, recipe.to_yaml())
    if resumed:
        return
    manifest = prepared.manifest
    table = pd.DataFrame(
        {
            "image": list(manifest.images.names),
            "label": [manifest.classes[label] for label in manifest.labels],
            "group": "" if manifest.groups is None else manifest.groups,
            "split": manifest.split,
            "digest": prepared.digests,
            "content": prepared.copies.same,
        }
    )
    write_text(run.manifest, csv_text(table))
    write_excluded(prepared.excluded, run.excluded)
    suggestions = {"suggestions": [problem.message for problem in manifest.problems if problem.kind in SUGGESTIONS]}
    write_file(run.environment, environment | suggestions, ENVIRONMENT_FILE)
