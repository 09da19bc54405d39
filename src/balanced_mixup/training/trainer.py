"""Lightning's trainer as this package uses it: checkpoints, signals, loggers and warnings."""

import logging
import signal
import threading
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException

from balanced_mixup.data.allocator import keep_freed_memory
from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.files import write_atomically
from balanced_mixup.progress import is_watched
from balanced_mixup.training.preflight import check_logger
from balanced_mixup.training.processes import cluster_environment, process_rank
from balanced_mixup.training.recipe import Recipe


def make_trainer(
    recipe: Recipe,
    *,
    epochs: int,
    callbacks: Sequence[Callback] = (),
    folder: Path | None = None,
    logger: Logger | None = None,
) -> L.Trainer:
    """Return Lightning's trainer for a recipe.

    Args:
        recipe: Where and how to compute.
        epochs: Number of epochs.
        callbacks: In addition to a progress bar on a terminal.
        folder: Where Lightning writes.
        logger: See `make_logger`.

    Raises:
        UsageError: This machine does not support the recipe's devices.
    """
    keep_freed_memory()
    several = recipe.processes > 1
    watched = is_watched() and process_rank(recipe) == 0
    bar = [RichProgressBar(leave=False)] if watched else []
    try:
        return L.Trainer(
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            num_nodes=recipe.num_nodes,
            strategy="ddp" if several else "auto",
            # Statistics of the whole batch, as with one process; torch supports it on GPUs only.
            sync_batchnorm=several and torch.cuda.is_available() and recipe.accelerator in ("auto", "gpu"),
            benchmark=True,  # cuDNN's fastest convolutions: all batches have one shape
            precision=precision_of(recipe),
            max_epochs=epochs,
            callbacks=[*callbacks, *bar],
            plugins=[_AtomicCheckpointIO(), cluster_environment()],
            default_root_dir=folder,
            logger=logger or False,
            enable_progress_bar=watched,
            enable_model_summary=False,
            enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=1,
        )
    except MisconfigurationException as error:
        raise UsageError(
            f"This machine cannot compute with `accelerator` {recipe.accelerator!r} and `devices` {recipe.devices}: {error}"
        ) from None


def make_logger(recipe: Recipe, folder: Path) -> Logger | None:
    """Return the recipe's experiment tracker, which writes to the run's folder where it writes to disk; None for none.

    Raises:
        UsageError: Its package is not installed.
    """
    check_logger(recipe)
    name = folder.resolve().name
    match recipe.logger:
        case "tensorboard":
            from lightning.pytorch.loggers import TensorBoardLogger

            return TensorBoardLogger(folder, name="tensorboard", version="")
        case "mlflow":
            from lightning.pytorch.loggers import MLFlowLogger

            return MLFlowLogger(experiment_name="balanced-mixup", run_name=name)
        case "wandb":
            from lightning.pytorch.loggers import WandbLogger

            return WandbLogger(project="balanced-mixup", name=name, save_dir=folder)
        case None:
            return None


def precision_of(recipe: Recipe) -> Any:
    """Return Lightning's name for the recipe's precision on this machine."""
    if recipe.precision != "auto":
        return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.precision]
    on_gpu = recipe.accelerator in ("auto", "gpu") and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def checkpoint_callback(path: Path) -> ModelCheckpoint:
    """Return the callback that writes the state after each epoch, over that of the epoch before."""
    return ModelCheckpoint(
        dirpath=path.parent,
        filename=path.stem,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
        every_n_epochs=1,
    )


class EndAtOnce(Callback):
    """SIGTERM ends a training at once, like Ctrl-C; Lightning would synchronise the processes first, which can hang."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Install the signal handler."""
        if threading.current_thread() is threading.main_thread():  # Lightning restores the previous handler
            signal.signal(signal.SIGTERM, _stop if trainer.is_global_zero else signal.SIG_DFL)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise SIGTERMException


class _AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, and verifies them when they are read.

    Lightning copies a temporary file from another disk, which a kill can truncate, and torch ignores the check sums.
    """

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the check sum of {damaged} is wrong")
        return super().load_checkpoint(path, map_location, weights_only)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        try:
            write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))
        except RuntimeError as error:  # torch raises it on a full disk
            raise RunError(f"The checkpoint {str(path)!r} could not be written: {error}.") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's hints, which are for authors of training loops."""
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
