"""An experiment: train by a recipe, then score the held-out splits. This is `bmixup train`."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from lightning.pytorch.callbacks import Callback

from balanced_mixup.calibration.correction import Correction
from balanced_mixup.data.manifest import SPLITS
from balanced_mixup.data.preparation import Cache, Prepared, prepare
from balanced_mixup.data.sources import is_named, kind_of, load
from balanced_mixup.errors import BalancedMixupError, UsageError
from balanced_mixup.evaluation.evaluate import predict_rows, write_excluded
from balanced_mixup.files import write_atomically, write_text
from balanced_mixup.heads import head_to_dict
from balanced_mixup.metrics import METRICS, applicable
from balanced_mixup.randomness import torch_seed
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.digests import check_digest, write_digests
from balanced_mixup.runs.environment import describe_environment, differences, fingerprint, recorded_threads
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.formats import ENVIRONMENT_FILE, METRICS_FILE, file_text, read_recipe, write_file
from balanced_mixup.runs.identity import base_identity, identity
from balanced_mixup.runs.log import log_file
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import Scores
from balanced_mixup.statistics.bootstrap import Interval
from balanced_mixup.training.backbones import Backbone, check_name, create
from balanced_mixup.training.fit import fit
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.processes import GRACE_SECONDS, exit_with_parent, process_rank
from balanced_mixup.training.recipe import PLACES, Execution, Recipe, current_settings, load_yaml, make_recipe
from balanced_mixup.training.segments import first_method
from balanced_mixup.training.threads import computing_with, threads_of
from balanced_mixup.training.training_files import SegmentEnd

log = logging.getLogger("balanced_mixup")


@dataclass(frozen=True)
class Experiment:
    """A finished run: its folder, and the scores of its validation and test split.

    With several processes only the first one scores; in the others `scores` is empty.
    """

    folder: RunFolder
    recipe: Recipe
    scores: Mapping[str, Scores]

    @property
    def run(self) -> Run:
        """The contents of the run's folder."""
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

    Args:
        layers: Settings by name, such as a YAML file's; later ones and `settings` take precedence.
        out: The run's folder; a new one under `runs` if not given.
        resume: Resume the run in `out`, with the settings it was started with.
        base: Folder of a run of the same settings in which the method's base (`Method.base`) has been trained.
        callbacks: Lightning's, for the training loop.
        settings: Fields of `Recipe` and of the method.

    Raises:
        UsageError: A setting is wrong, or `out` holds another run.
        DataError: Something is wrong with the data.
        RunError: The training failed.
    """
    layers = (*layers, settings)
    if resume and out is None:
        raise UsageError("Expected `out` with `resume`: name the folder of the run to resume.")
    recipe, base_folder = make_recipe(*layers), None if base is None else Path(base)
    first = process_rank(recipe) == 0
    run = RunFolder(Path(out) if out is not None else _new_folder(recipe, make=first))
    if not first:
        return _join_training(recipe, run, layers, resume, base_folder, callbacks)
    if not (resume and run.recipe.is_file()):
        _check_place(run, recipe)
    with locked(run.path):
        recipe = _resume(run, layers) if resume and run.recipe.is_file() else _begin(run, recipe)
        return _train_or_read(recipe, run, resume, base_folder, callbacks)


def _train_or_read(
    recipe: Recipe, run: RunFolder, resume: bool, base: Path | None, callbacks: Sequence[Callback]
) -> Experiment:
    """Train in a folder that this process has locked, unless the run in it is finished."""
    with log_file(run) as note:
        if resume and run.metrics.is_file():
            log.info("The run in %s is already finished.", run.path)
        else:
            with computing_with(threads := _threads(recipe, run)):
                _train(recipe, run, threads, base, callbacks)
        scores = Run(run).scores
        for split in sorted(scores):
            note(f"Scores ({split}): {_one_line(applicable(scores[split].metrics, Run(run).ordinal))}")
        return Experiment(run, recipe, scores)


def _one_line(metrics: Mapping[str, Interval]) -> str:
    scores = ((METRICS[name].label, score.value) for name, score in metrics.items())
    return ", ".join(f"{label} {value:.3f}" for label, value in scores if not math.isnan(value))


def _join_training(
    recipe: Recipe,
    run: RunFolder,
    layers: tuple[Mapping[str, Any], ...],
    resume: bool,
    base: Path | None,
    callbacks: Sequence[Callback],
) -> Experiment:
    """Join a training that the first process manages; writes and logs nothing."""
    log.setLevel(logging.ERROR)
    exit_with_parent()
    try:
        recipe = _resume(run, layers) if resume and run.recipe.is_file() else with_absolute_paths(recipe)
        if not (resume and (run.metrics.is_file() or run.weights.is_file())):
            backbone, prepared = _start(recipe)
            end, mark = _end_of_base(recipe, prepared, base), _identity(recipe, prepared)
            with computing_with(_threads(recipe, run)):
                fit(recipe, backbone, _training_data(prepared), run, mark=mark, base=end, callbacks=callbacks)
    except BalancedMixupError:
        time.sleep(GRACE_SECONDS)  # the first process reports the error, and ends this one
        raise
    return Experiment(run, recipe, {})


def _threads(recipe: Recipe, run: RunFolder) -> int:
    """Return the number of threads of each process: a run that is resumed keeps the one that it was started with."""
    recorded = recorded_threads(Run(run).environment) if run.environment.is_file() else None
    return recipe.threads or recorded or threads_of(recipe)


def _identity(recipe: Recipe, prepared: Prepared) -> str:
    return identity(recipe, fingerprint(prepared.manifest, prepared.digests))


def _start(recipe: Recipe) -> tuple[Backbone, Prepared]:
    """Return the initial model and the prepared data."""
    check_name(recipe.backbone)
    manifest = load(recipe)
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
    )
    return backbone, prepared


def _training_data(prepared: Prepared) -> TrainingData:
    manifest = prepared.manifest
    train, val = manifest.rows("train"), manifest.rows("val")
    return TrainingData(prepared.pixels, manifest.labels, train, val, len(manifest.classes), manifest.ordinal)


def _train(recipe: Recipe, run: RunFolder, threads: int, base: Path | None, callbacks: Sequence[Callback]) -> None:
    check_digest(run, run.weights)
    run.digests.unlink(missing_ok=True)  # its scores are to be made again
    backbone, prepared = _start(recipe)
    end = (
        None if run.weights.is_file() else _end_of_base(recipe, prepared, base)
    )  # an invalid base is refused before the run is started
    manifest = prepared.manifest
    splits = {split: manifest.rows(split) for split in SPLITS}
    log.info("%d images: %s.", len(manifest), ", ".join(f"{len(rows)} {split}" for split, rows in splits.items()))
    kind = "ordinal classes" if manifest.ordinal else "classes"
    log.info("%d %s: %s.", len(manifest.classes), kind, ", ".join(manifest.classes))
    _record_data(recipe, run, prepared, threads)
    card = ModelCard(
        backbone=recipe.backbone,
        classes=manifest.classes,
        ordinal=manifest.ordinal,
        size=recipe.size,
        mean=backbone.mean,
        std=backbone.std,
        head=head_to_dict(recipe.method.head()),
    )
    card.write(run.model)
    if not run.weights.is_file():
        mark = _identity(recipe, prepared)
        fit(recipe, backbone, _training_data(prepared), run, mark=mark, base=end, callbacks=callbacks)
    run.remove_checkpoints()
    rows = np.concatenate([splits["val"], splits["test"]])
    classifier = Classifier.load(run.path, "cpu" if recipe.accelerator == "cpu" else None)
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
    splits = {name: predictions.in_split(name) for name in ("val", "test")}
    validation = splits["val"]
    fitted = Correction.fit(validation.labels, validation.probabilities, validation.classes, recipe, counts)
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
    base, wanted = recipe.method.base(), base_identity(recipe, fingerprint(prepared.manifest, prepared.digests))
    if base is None:
        raise UsageError(f"Expected no `base` with the method {recipe.method.name}, which starts from no other training.")
    other = Run.open(folder)
    fingerprint_there = str(other.environment.get("data_fingerprint"))
    if identity(other.recipe, fingerprint_there) == wanted and other.folder.weights.is_file():
        check_digest(other.folder, other.folder.weights, other.folder.history)
        return SegmentEnd(other.folder.weights, other.folder.history)
    if base_identity(other.recipe, fingerprint_there) == wanted and other.folder.end_of_base.weights.is_file():
        return other.folder.end_of_base
    raise UsageError(
        f"Expected `base` to be a finished training of {base.name} by the same settings and on the same data, but "
        f"{str(other.path)!r} is not."
    )


def _new_folder(recipe: Recipe, *, make: bool) -> Path:
    """Return a folder that does not exist yet; it is made, if so wished, so that no other training takes it meanwhile."""
    if make:
        kind_of(recipe.data)
    name = f"{Path(recipe.data).stem}-{recipe.method.name}"
    paths = (path for number in count(1) if not (path := Path("runs") / f"{name}-{number}").exists())
    if not make:
        return next(paths)
    for path in paths:
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    return path


def _check_place(run: RunFolder, recipe: Recipe) -> None:
    """Refuse data and a folder that cannot be, before anything is written."""
    kind_of(recipe.data)
    if run.path.is_file():
        raise UsageError(f"Expected `out` to be a new or empty folder, but {str(run.path)!r} exists. Choose another `--out`.")


def _begin(run: RunFolder, recipe: Recipe) -> Recipe:
    # An attempt that failed on its data, or was killed at once, leaves only its log.
    if any(path.name != run.log.name and not path.name.startswith(".") for path in run.path.iterdir()):
        remedy = "Resume it with `--resume`, or choose another `--out`." if run.recipe.is_file() else "Choose another `--out`."
        raise UsageError(f"Expected `out` to be a new or empty folder, but {str(run.path)!r} exists. {remedy}")
    return with_absolute_paths(recipe)


def _resume(run: RunFolder, layers: tuple[Mapping[str, Any], ...]) -> Recipe:
    """Return the recipe that the run was started with; settings given again must be equal, except for paths.

    `_record_data` checks that moved data are the same.
    """
    stored, saved = load_yaml(run.recipe), read_recipe(run.recipe)
    for path in run.path.iterdir():
        run.own(path)
    for layer in layers:  # first, as the settings of another method would be unknown
        if (method := current_settings(layer).get("method", saved.method.name)) != saved.method.name:
            raise UsageError(
                f"The run in {str(run.path)!r} was started with other settings: `method` was {saved.method.name!r}, "
                f"now {method!r}."
            )
    again = with_absolute_paths(make_recipe(stored, *layers))
    before, now = saved.settings(), again.settings()
    changed = [
        f"`{name}` was {before.get(name)!r}, now {now.get(name)!r}"
        for name in before | now
        if name not in (*PLACES, *Execution.model_fields) and before.get(name) != now.get(name)
    ]
    if changed:
        raise UsageError(f"The run in {str(run.path)!r} was started with other settings: {'; '.join(changed)}.")
    return again


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with absolute paths, valid from any folder."""
    update: dict[str, Any] = {}
    if not is_named(recipe.data) and Path(recipe.data).exists():
        update["data"] = str(Path(recipe.data).resolve())
    for name in ("images", "split_file"):
        if (path := getattr(recipe, name)) is not None:
            update[name] = path.resolve()
    if recipe.cache_dir is not None:
        update["cache_dir"] = recipe.cache_dir.resolve()
    if Path(recipe.weights).is_file():
        update["weights"] = str(Path(recipe.weights).resolve())
    return recipe.model_copy(update=update)


def _record_data(recipe: Recipe, run: RunFolder, prepared: Prepared, threads: int) -> None:
    """Record recipe, data and environment of a run; when it is resumed, check that the data are unchanged.

    What else has changed, and decides about the last bits of the weights, is recorded and a warning.
    """
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
            content = {**recorded, "changed_when_resumed": changed}
            write_file(run.environment, content, ENVIRONMENT_FILE)
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
        }
    )
    write_atomically(run.manifest, lambda temporary: table.to_csv(temporary, index=False))
    write_excluded(prepared, run.excluded)
    write_file(run.environment, environment, ENVIRONMENT_FILE)
