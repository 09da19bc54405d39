"""Train by a recipe, with Lightning, so that a kill at any moment loses at most the epoch at hand."""

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException

from balanced_mixup.data.memory import keep_freed_memory
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.files import write_atomically, write_json
from balanced_mixup.metrics import METRICS
from balanced_mixup.progress import on_terminal
from balanced_mixup.training.backbones import Backbone
from balanced_mixup.training.memory import peak_memory
from balanced_mixup.training.module import Trainee, TrainingData
from balanced_mixup.training.processes import LostProcessError, cluster_environment, launch_workers, process_rank
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.training.training_files import TrainingFiles, save_weights

log = logging.getLogger("balanced_mixup")


def fit(recipe: Recipe, backbone: Backbone, data: TrainingData, run: TrainingFiles) -> None:
    """Train, from the run's checkpoint if it has one; write `history.csv`, `cost.json` and the best epoch's weights, at last.

    Args:
        recipe: All settings.
        backbone: Where training starts.
        data: Training and validation images.
        run: Where results go.

    Raises:
        UsageError: This machine, or a model that needs larger batches, cannot train by this recipe.
        RunError: The training diverged, or a file could not be written.

    With several processes each calls this, and the first alone writes.
    """
    if (batch := min(recipe.batch_size, len(data.train))) % recipe.processes:
        raise UsageError(
            f"Expected batches that {recipe.processes} processes can share, but got batches of all {batch} training images. "
            f"Lower `--batch-size` to {batch // recipe.processes * recipe.processes}."
        )
    first = process_rank(recipe) == 0
    start, resumed = time.monotonic(), run.checkpoint.is_file()
    trainee = Trainee(recipe, backbone, data, lambda trainee: _note_epoch(trainee, run.history) if first else None)
    with quiet_lightning():
        try:
            trainer = make_trainer(recipe, _checkpoint(run), _EndAtOnce(), folder=run.path)
        except MisconfigurationException as error:
            raise UsageError(
                f"This machine cannot compute with `accelerator` {recipe.accelerator!r} and `devices` {recipe.devices}: {error}"
            ) from None
        device = trainer.strategy.root_device
        # The caller's random state is left alone; dropout inside the model can only use torch's global one.
        with torch.random.fork_rng([device] if device.type == "cuda" else []), launch_workers(recipe):
            _run(trainer, trainee, run)
    if not first:
        return
    _write_history(trainee, run.history)
    best = trainee.best_epoch()
    value = trainee.history[best - 1][trainee.monitor]
    log.info("Kept epoch %d: %s %.3f on validation.", best, METRICS[trainee.monitor].label, value)
    seconds = time.monotonic() - start
    log.info("Trained in %.0f s.", seconds)
    write_json(run.cost, {"seconds": round(seconds, 1), "memory_bytes": peak_memory(device), "resumed": resumed})
    save_weights(run.weights, trainee.best_weights)


def _run(trainer: L.Trainer, trainee: Trainee, run: TrainingFiles) -> None:
    """Fit, and say in our errors what can go wrong."""
    recipe = trainee.recipe
    on_main_thread = threading.current_thread() is threading.main_thread()
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(trainee, ckpt_path=str(run.checkpoint) if run.checkpoint.exists() else None, weights_only=True)
    except SIGTERMException as error:
        raise RunError(f"Stopped by SIGTERM. Go on with `bmixup train --out {run.path} --resume`.") from error
    except SystemExit as error:
        # Lightning's answer to Ctrl-C; it also leaves the signal ignored.
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
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f"torch.compile failed on this machine ({reason}). Leave `--compile` out.") from error
        if recipe.processes > 1 and any(word in str(error).lower() for word in ("gloo", "nccl", "connection")):
            raise LostProcessError(
                "Another process of the training ended; what it said tells why. Go on with "
                f"`bmixup train --out {run.path} --resume`."
            ) from error
        if "PytorchStreamReader" not in str(error):
            raise
        raise UsageError(f"The checkpoint {str(run.checkpoint)!r} is damaged. Delete it to train from the start.") from error
    finally:
        if on_main_thread:
            signal.signal(signal.SIGINT, interrupt)


def precision_of(recipe: Recipe) -> Any:
    """Return Lightning's name for the recipe's precision on this machine."""
    if recipe.precision != "auto":
        return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.precision]
    on_gpu = recipe.accelerator in ("auto", "gpu") and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def _note_epoch(trainee: Trainee, path: Path) -> None:
    row, monitor = trainee.history[-1], trainee.monitor
    log.info(
        "Epoch %d/%d  loss %.4f  %s %.3f  balanced accuracy %.3f%s",
        row["epoch"],
        trainee.recipe.epochs,
        row["train_loss"],
        METRICS[monitor].label,
        row[monitor],
        row["balanced_accuracy"],
        "  (best so far)" if trainee.best_epoch() == row["epoch"] else "",
    )
    _write_history(trainee, path)


def _write_history(trainee: Trainee, path: Path) -> None:
    write_atomically(path, lambda temporary: pd.DataFrame(trainee.history).to_csv(temporary, index=False))


def make_trainer(recipe: Recipe, *more: Callback, folder: Path | None = None) -> L.Trainer:
    """Return Lightning's trainer for a recipe, with `more` callbacks; what Lightning itself writes goes to `folder`."""
    keep_freed_memory()
    callbacks = list(more)
    several = recipe.processes > 1
    watched = on_terminal() and process_rank(recipe) == 0
    if watched:
        callbacks.append(RichProgressBar(leave=False))
    return L.Trainer(
        accelerator=recipe.accelerator,
        devices=recipe.devices,
        num_nodes=recipe.num_nodes,
        strategy="ddp" if several else "auto",
        # Statistics of the whole batch, as with one process; torch has it for GPUs alone.
        sync_batchnorm=several and torch.cuda.is_available() and recipe.accelerator in ("auto", "gpu"),
        benchmark=True,  # cuDNN's fastest convolutions: all batches have one shape
        precision=precision_of(recipe),
        max_epochs=recipe.epochs,
        callbacks=callbacks,
        plugins=[_AtomicCheckpointIO(), cluster_environment()],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=watched,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )


def _checkpoint(run: TrainingFiles) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=run.path,
        filename=run.checkpoint.stem,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
        every_n_epochs=1,
    )


class _EndAtOnce(Callback):
    """SIGTERM ends a training as Ctrl-C does: Lightning lets the processes agree on it first, and they can wait forever."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():  # Lightning puts back what was there before
            signal.signal(signal.SIGTERM, _stop if trainer.is_global_zero else signal.SIG_DFL)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise SIGTERMException


class _AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own writing goes through a temporary file on another disk, which a kill can leave half copied."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        try:
            write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))
        except RuntimeError as error:  # torch's writer turns a full disk into one
            raise RunError(f"The checkpoint {str(path)!r} could not be written: {error}.") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's hints, which are for those who write training loops, from those who use this one."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
