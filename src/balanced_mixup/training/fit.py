"""Train by a recipe, segment by segment, so that a kill at any moment loses at most the current epoch.

A segment (stages with one optimiser) begins with the best weights of the previous one, which are stored as `stage-N`. So a
method that starts from another method's training ends with the same bits whether it trains that itself or takes it from another
run.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from balanced_mixup.data.batches import TrainBatches
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.files import write_json
from balanced_mixup.methods import Features, Method, TrainSet
from balanced_mixup.metrics import METRICS
from balanced_mixup.randomness import torch_seed
from balanced_mixup.training.backbones import Backbone, head_layer, set_head
from balanced_mixup.training.batch_statistics import renew_statistics
from balanced_mixup.training.features import FeatureExtractor, View
from balanced_mixup.training.history import History
from balanced_mixup.training.inputs import FeatureInputs, ImageInputs, Inputs, TrainingData
from balanced_mixup.training.module import ClassifierModule
from balanced_mixup.training.peak_memory import peak_memory
from balanced_mixup.training.preprocessing import Preprocessing
from balanced_mixup.training.processes import LostProcessError, launch_workers, process_rank
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.training.scaled_head import ScaledHead
from balanced_mixup.training.segments import Segment, segments_of
from balanced_mixup.training.trainer import EndAtOnce, checkpoint_callback, make_logger, make_trainer, quiet_lightning
from balanced_mixup.training.training_files import SegmentEnd, TrainingFiles, save_weights

log = logging.getLogger("balanced_mixup")

Weights = dict[str, Tensor]


def fit(
    recipe: Recipe,
    backbone: Backbone,
    data: TrainingData,
    run: TrainingFiles,
    *,
    mark: str = "",
    base: SegmentEnd | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Train, resuming from what is in the run's folder; finally write `history.csv`, `cost.json` and the best weights.

    Args:
        recipe: All settings.
        backbone: The initial model.
        data: Training and validation images.
        run: Where results are written.
        mark: What the training is, by which a checkpoint of another one is recognised.
        base: Where a training of the method's base with the same settings ended; the base is trained here if not given.
        callbacks: Lightning's, called in every segment.

    Raises:
        UsageError: This machine, or a model that needs larger batches, cannot train by this recipe.
        RunError: The training diverged, or a file could not be written.

    With several processes each calls this, and only the first writes.
    """
    if (batch := min(recipe.batch_size, len(data.train))) % recipe.processes:
        raise UsageError(
            f"Expected batches that {recipe.processes} processes can share, but got batches of all {batch} training images. "
            f"Lower `--batch-size` to {batch // recipe.processes * recipe.processes}."
        )
    first = process_rank(recipe) == 0
    start = time.monotonic()
    training = _Training.begin(recipe, backbone, data, run, mark, base, callbacks)
    resumed = training.has_begun
    with quiet_lightning():
        device = make_trainer(recipe, epochs=1).strategy.root_device
        # The caller's random state is left alone; dropout inside the model can only use torch's global one.
        with torch.random.fork_rng([device] if device.type == "cuda" else []), launch_workers(recipe):
            weights = training.finished_weights(device)
    if not first:
        return
    training.history.write(run.history)
    log.info("Trained in %.0f s.", (seconds := time.monotonic() - start))
    cost = {"seconds": round(seconds, 1), "memory_bytes": peak_memory(device), "resumed": resumed}
    of_base = training.base_seconds and round(training.base_seconds, 1)
    write_json(run.cost, {"format": 1, **cost, "base_seconds": of_base, "base_reused": training.reuses_base})
    save_weights(run.weights, weights)


@dataclass
class _Training:
    """A training as a sequence of segments; the model has the weights at the end of the first `done` ones."""

    recipe: Recipe
    backbone: Backbone
    data: TrainingData
    run: TrainingFiles
    mark: str
    callbacks: Sequence[Callback]
    segments: tuple[Segment, ...]
    of_base: int
    done: int
    history: History
    started: float
    base_seconds: float | None = None
    reuses_base: bool = False

    @classmethod
    def begin(
        cls,
        recipe: Recipe,
        backbone: Backbone,
        data: TrainingData,
        run: TrainingFiles,
        mark: str,
        base: SegmentEnd | None,
        callbacks: Sequence[Callback],
    ) -> "_Training":
        """Return the training in the state that is stored in its folder, or in the run of its base."""
        train_set = TrainSet(data.labels[data.train], data.num_classes, recipe.epochs, recipe.seed)
        head_only, method_base = recipe.train == "head", recipe.method.base()
        segments = segments_of(recipe.method, train_set, head_only=head_only)
        of_base = 0 if method_base is None else len(segments_of(method_base, train_set, head_only=head_only))
        history = History(recipe.monitored(data.ordinal))
        training = cls(recipe, backbone, data, run, mark, callbacks, segments, of_base, 0, history, time.monotonic())
        own = max((n for n in range(1, len(segments) + 1) if training._end_of(n).weights.is_file()), default=0)
        if own:
            training._resume_after(own, training._end_of(own))
        elif base is not None and method_base is not None:
            training._resume_after(of_base, base)
            training.base_seconds, training.reuses_base = base.seconds, True
            log.info("Reusing the trained stages of %s from the run in %s.", method_base.name, base.weights.parent)
        return training

    def _end_of(self, number: int) -> SegmentEnd:
        """Return where the result of segment `number` (from 1) is stored."""
        return self.run.end_of_base if number == self.of_base else self.run.end_of_segment(number)

    def _resume_after(self, done: int, end: SegmentEnd) -> None:
        """Restore the weights and history at the end of segment `done` (from 1)."""
        self._set_head_of(done - 1)
        try:
            self.backbone.model.load_state_dict(load_file(end.weights))
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"The weights {str(end.weights)!r} of an earlier stage are damaged or of another model: {reason}. Delete the "
                "file to train the stage again."
            ) from None
        self.done, self.history.rows[:] = done, end.rows()

    def _set_head_of(self, number: int) -> None:
        """Replace the head by that of segment `number` (from 0), where it differs from that of the first."""
        if number >= 0 and self.segments[number].head != self.segments[0].head:
            set_head(self.backbone.model, self.segments[number].head, self.data.num_classes)

    @property
    def has_begun(self) -> bool:
        """Whether an earlier attempt has left a checkpoint or a finished segment."""
        numbers = range(1, len(self.segments) + 1)
        return any(self.run.segment_checkpoint(n).is_file() or self._end_of(n).weights.is_file() for n in numbers)

    def finished_weights(self, device: torch.device) -> Weights:
        """Train the remaining segments, and return the weights of the finished model."""
        first = process_rank(self.recipe) == 0
        for number in range(self.done, len(self.segments)):
            kept = self._train_segment(number, device)
            for method in self.segments[number].finished_by:
                self._finish(method, device)
            if first:
                log.info(
                    "Kept epoch %d: %s %.3f on validation.",
                    kept,
                    METRICS[self.history.monitor].label,
                    self.history.score_of(kept),
                )
                if number + 1 == self.of_base:
                    self.base_seconds = time.monotonic() - self.started
                if number + 1 < len(self.segments) or number + 1 == self.of_base:
                    self._end_of(number + 1).write(self._weights(), self.history.rows)
                    self.run.segment_checkpoint(number + 1).unlink(missing_ok=True)
        if self.recipe.method.finishes:
            self._finish(self.recipe.method, device)
        return self._weights()

    def _weights(self) -> Weights:
        return {name: tensor.detach().cpu() for name, tensor in self.backbone.model.state_dict().items()}

    def _train_segment(self, number: int, device: torch.device) -> int:
        """Train one segment (from 0) and load its best weights; returns their epoch."""
        recipe, segment, model = self.recipe, self.segments[number], self.backbone.model
        preprocessing = Preprocessing(self.backbone.mean, self.backbone.std)
        if segment.new_head:
            torch.manual_seed(torch_seed(recipe.seed, "new head", number))
            set_head(model, segment.head, self.data.num_classes)
        data, trained = self.data, model
        inputs: Inputs = ImageInputs(preprocessing, recipe.augmentation)
        if segment.stages[0][1].renews_statistics and recipe.train == "all":
            self._renew_statistics(segment, inputs, device)
        if segment.trains_head:
            copies = [View(False, recipe.augmentation, recipe.seed, copy) for copy in range(recipe.feature_copies)]
            data = FeatureExtractor(model, recipe.backbone, preprocessing, device).training_data(data, copies)
            layer = head_layer(model)
            trained = ScaledHead(layer) if segment.trains_scales else layer
            inputs = FeatureInputs(as_map=isinstance(layer, nn.Conv2d))
        checkpoint = self.run.segment_checkpoint(number + 1)
        module = ClassifierModule(recipe, segment, trained, inputs, data, self.history, self._after_epoch, self.mark)
        trainer = make_trainer(
            recipe,
            epochs=segment.end - segment.start,
            callbacks=[checkpoint_callback(checkpoint), EndAtOnce(), *self.callbacks],
            folder=self.run.path,
            logger=make_logger(recipe, self.run.path) if process_rank(recipe) == 0 else None,
        )
        _run(trainer, module, checkpoint, self.run)
        trained.load_state_dict(module.best_weights)
        if isinstance(trained, ScaledHead):
            trained.fold_into(head_layer(model))
        return module.kept_epoch()

    def _renew_statistics(self, segment: Segment, inputs: Inputs, device: torch.device) -> None:
        """Estimate the statistics of batch normalisation on an epoch of the segment's samples, the same in every process."""
        data, (epoch, stage) = self.data, segment.stages[0]
        seed, size = self.recipe.seed, self.recipe.batch_size
        batches = TrainBatches(data.pixels, data.labels, data.train, stage, batch_size=size, seed=seed, epoch=epoch)
        renew_statistics(self.backbone.model, inputs, batches, device)

    def _after_epoch(self, module: ClassifierModule) -> None:
        """Log the epoch and write the history, in the first process."""
        if process_rank(self.recipe) > 0:
            return
        row, monitor = self.history.rows[-1], self.history.monitor
        several = sum(len(segment.stages) for segment in self.segments) > 1
        log.info(
            "Epoch %d/%d%s  loss %.4f  %s %.3f  balanced accuracy %.3f%s",
            row["epoch"],
            self.segments[-1].end,
            f"  {row['stage']}" if several else "",
            row["train_loss"],
            METRICS[monitor].label,
            row[monitor],
            row["balanced_accuracy"],
            "  (best so far)" if module.is_best_so_far() else "",
        )
        self.history.write(self.run.history)

    def _finish(self, method: Method, device: torch.device) -> None:
        """Let a method change the trained model without gradient steps."""
        model = self.backbone.model
        preprocessing = Preprocessing(self.backbone.mean, self.backbone.std)
        data = FeatureExtractor(model, self.recipe.backbone, preprocessing, device).training_data(self.data)
        train, val = (
            Features(data.pixels.gather(rows)[:, 0], torch.from_numpy(data.labels[rows])) for rows in (data.train, data.val)
        )
        with torch.no_grad():
            method.finish(head_layer(model.cpu()), train, val)


def _run(trainer: L.Trainer, module: ClassifierModule, checkpoint: Path, run: TrainingFiles) -> None:
    """Fit, translating failures into errors of this package."""
    recipe = module.recipe
    on_main_thread = threading.current_thread() is threading.main_thread()
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with _checkpoint_named(checkpoint, module):
            trainer.fit(module, ckpt_path=str(checkpoint) if checkpoint.exists() else None, weights_only=True)
    except SIGTERMException as error:
        raise RunError(f"Stopped by SIGTERM. Resume with `bmixup train --out {run.path} --resume`.") from error
    except SystemExit as error:
        # Lightning raises it on Ctrl-C, and leaves the signal ignored.
        raise KeyboardInterrupt from error
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"The GPU's memory is too small for batches of {recipe.batch_size} images of {recipe.size} px. "
            "Lower `--batch-size` or `--size`."
        ) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UsageError(
            f"The batch normalisation of {recipe.backbone} cannot learn from batches of {recipe.batch_size} at {recipe.size} "
            "px. Raise `--batch-size` or `--size`."
        ) from error
    except RuntimeError as error:
        if recipe.compile and isinstance(error, _compiler_errors()):
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f"torch.compile failed on this machine ({reason}). Omit `--compile`.") from error
        if recipe.processes > 1 and _is_lost_connection(error):
            raise LostProcessError(
                f"Another process of the training ended; see its error. Resume with `bmixup train --out {run.path} --resume`."
            ) from error
        raise
    finally:
        if on_main_thread:
            signal.signal(signal.SIGINT, interrupt)


@contextmanager
def _checkpoint_named(checkpoint: Path, module: ClassifierModule) -> Iterator[None]:
    """Name the checkpoint in the error where a training cannot be restored from it."""
    there = checkpoint.exists()
    try:
        yield
    except Exception as error:
        # Whatever torch and Lightning raise for a file of another content. Nothing of it is executed: it is read as tensors.
        others = (UsageError, RunError, SIGTERMException, torch.OutOfMemoryError)
        if not there or module.has_started or isinstance(error, others) or _is_lost_connection(error):
            raise
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UsageError(
            f"The checkpoint {str(checkpoint)!r} is damaged or of another training ({reason:.200}). Delete it to train from "
            "the start of the stage."
        ) from error


def _compiler_errors() -> tuple[type[Exception], ...]:
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    return TorchDynamoException, InductorError


def _is_lost_connection(error: Exception) -> bool:
    # NCCL's errors have a type, gloo's are plain RuntimeErrors.
    return isinstance(error, torch.distributed.DistError) or any(word in str(error).lower() for word in ("gloo", "connection"))
