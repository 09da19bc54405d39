"""The Lightning module: one training step, one validation pass, and the book of epochs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from balanced_mixup.data.augment import AUGMENTATIONS
from balanced_mixup.data.batches import EvalBatches, TrainBatch, TrainBatches, normalised, to_images
from balanced_mixup.data.pixels import DevicePixels, Pixels
from balanced_mixup.errors import RunError, UsageError, human_bytes
from balanced_mixup.methods import get_method
from balanced_mixup.metrics import METRICS, score
from balanced_mixup.randomness import torch_seed
from balanced_mixup.sampling import class_branch
from balanced_mixup.training import schedules
from balanced_mixup.training.backbones import Backbone
from balanced_mixup.training.recipe import Recipe

PLATEAU_END = 1e-3


@dataclass(frozen=True)
class TrainingData:
    """What training sees.

    Args:
        pixels: N images of (S, S).
        labels: int64 (N,).
        train: Rows that train.
        val: Rows that choose the epoch.
        num_classes: K.
        ordinal: The classes are grades in their order.
    """

    pixels: Pixels
    labels: npt.NDArray[np.int64]
    train: npt.NDArray[np.int64]
    val: npt.NDArray[np.int64]
    num_classes: int
    ordinal: bool = False


def _on_device(pixels: Pixels, device: torch.device) -> Pixels:
    need = math.prod(pixels.shape)
    if device.type == "cuda" and need > (free := torch.cuda.mem_get_info(device)[0]) * 0.8:
        raise UsageError(
            f"The decoded images need {human_bytes(need)}, but the GPU has {human_bytes(free)} free, some of which the model "
            "needs. Use `--cache disk` or `--cache ram`."
        )
    return DevicePixels.copy_of(pixels, device)


class Trainee(L.LightningModule):
    """A backbone in training by a recipe.

    `history` holds a row an epoch, `best_weights` the weights of the epoch with the best validation score so far (the first
    of equal ones). Both travel in the checkpoint, so that state, history and best weights are always those of one moment.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, recipe: Recipe, backbone: Backbone, data: TrainingData, after_epoch: Callable[["Trainee"], None]
    ) -> None:
        """Set up the method of `recipe` over the training rows of `data`; `after_epoch` is called when an epoch is booked."""
        super().__init__()
        self.after_epoch = after_epoch
        self.recipe = recipe
        self.data = data
        self.model = backbone.model.train().to(memory_format=torch.channels_last)
        if recipe.compile:
            self.model.compile()
        self.average = None
        if recipe.weight_average:
            self.average = ModelEmaV3(self.model, recipe.weight_average, use_warmup=True).requires_grad_(False)
        self.register_buffer("mean", torch.tensor(backbone.mean), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std), persistent=False)
        labels = data.labels[data.train]
        method = get_method(recipe.method)
        self.branches = method.make_branch(labels, recipe.epochs, recipe.seed), class_branch(labels, seed=recipe.seed)
        self.mixing = method.make_mixing(recipe.alpha, recipe.weight_per)
        self.loss = method.make_loss(np.bincount(labels, minlength=data.num_classes), recipe.focal_gamma, recipe.cb_beta)
        self.augmentation = AUGMENTATIONS[recipe.augmentation]
        self.monitor = recipe.monitored(data.ordinal)
        self.history: list[dict[str, float]] = []
        self.best_weights: dict[str, Tensor] = {}
        self.rank, self.world_size = 0, 1
        self._losses: list[Tensor] = []
        self._probabilities: list[Tensor] = []

    @property
    def eval_model(self) -> nn.Module:
        """The model that is validated and kept: the running average of the weights, if the recipe asks for one."""
        return self.model if self.average is None else self.average.module

    def scores(self) -> list[float]:
        """Return the monitored validation score of each epoch so far, turned so that higher is better."""
        sign = 1 if METRICS[self.monitor].higher_is_better else -1
        return [sign * row[self.monitor] for row in self.history]

    def batches(self, epoch: int) -> TrainBatches:
        """Return the training steps of an epoch."""
        return TrainBatches(
            self.data.pixels,
            self.data.labels,
            self.data.train,
            self.branches,
            self.mixing,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            epoch=epoch,
            rank=self.rank,
            world_size=self.world_size,
            device=self.device,
        )

    def setup(self, stage: str) -> None:
        """Learn which part of each batch is this process's."""
        self.rank, self.world_size = self.global_rank, self.trainer.world_size

    def on_fit_start(self) -> None:
        """Copy the images to the GPU, where the recipe wants them there."""
        if self.recipe.cache == "device" and self.device.type != "cpu":
            self.data = replace(self.data, pixels=_on_device(self.data.pixels, self.device))

    def train_dataloader(self) -> TrainBatches:
        """Return the steps of the current epoch."""
        return self.batches(self.current_epoch)

    def val_dataloader(self) -> EvalBatches:
        """Return the validation images."""
        return EvalBatches(self.data.pixels, self.data.val, rank=self.rank, world_size=self.world_size, device=self.device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser; its learning rate is set before each step."""
        r, parameters = self.recipe, self.model.parameters()
        if r.optimizer == "sgd":
            return torch.optim.SGD(parameters, r.learning_rate, momentum=r.momentum, weight_decay=r.weight_decay, fused=True)
        return torch.optim.AdamW(parameters, r.learning_rate, weight_decay=r.weight_decay, fused=True)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted over all epochs."""
        r, steps_per_epoch = self.recipe, len(self.batches(0))
        match r.schedule:
            case "cosine":
                factor = schedules.cosine(step, r.epochs * steps_per_epoch, r.warmup)
            case "cyclic":
                factor = schedules.cyclic(step, r.cycle_epochs * steps_per_epoch)
            case "plateau":
                factor = schedules.plateau(self.scores(), r.plateau_patience)
            case "constant":
                factor = 1.0
        return r.learning_rate * factor

    def is_finished(self) -> bool:
        """Return whether early stopping or the end of the plateau schedule says that no epoch should follow."""
        r = self.recipe
        waited = r.patience is not None and schedules.epochs_since_best(self.scores()) >= r.patience
        ended = r.schedule == "plateau" and schedules.plateau(self.scores(), r.plateau_patience) <= PLATEAU_END * (1 + 1e-6)
        return waited or ended

    def on_train_start(self) -> None:
        """Do not go on with a run that was finished when it was killed, and find what is to be averaged."""
        if self.average is not None:
            states = zip(self.average.module.state_dict().values(), self.model.state_dict().values(), strict=True)
            pairs = [(average, current) for average, current in states if average.is_floating_point()]
            self._averaged = [list(tensors) for tensors in zip(*pairs, strict=True)]
        self.trainer.should_stop = self.is_finished()

    def on_train_batch_start(self, batch: TrainBatch, batch_idx: int) -> None:
        """Set the learning rate, and the randomness inside the model (dropout), by their key."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate(self.global_step)
        torch.manual_seed(torch_seed(self.recipe.seed, "model", self.current_epoch, batch_idx, self.rank))

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Augment, mix, and return the loss."""
        with torch.autocast(
            self.device.type, enabled=False
        ):  # pixels keep their digits, only the model's arithmetic is shortened
            images = self.augmentation(to_images(batch.pixels), batch.uniforms, self.mean, self.std)
            mixed, targets = batch.mixed(images, self.data.num_classes)
        loss = self.loss(self.model(mixed.contiguous(memory_format=torch.channels_last)), targets)
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, outputs: Any, batch: TrainBatch, batch_idx: int) -> None:
        """Take the new weights into their running average."""
        if self.average is not None:
            # What `ModelEmaV3.update` does, but for collecting all tensors anew at each step, which takes it most of its time.
            averages, current = self._averaged
            with torch.no_grad():
                torch._foreach_lerp_(averages, current, 1 - self.average.get_decay(self.global_step))

    def validation_step(self, pixels: Tensor, batch_idx: int) -> None:
        """Keep the probabilities of a batch."""
        logits = self.eval_model(normalised(to_images(pixels), self.mean, self.std))
        self._probabilities.append(logits.float().softmax(dim=1))

    def on_validation_epoch_end(self) -> None:
        """Score the whole validation part at once."""
        probabilities = self._of_all_ranks(torch.cat(self._probabilities)).cpu().numpy()
        self._probabilities.clear()
        if not np.isfinite(probabilities).all():
            raise RunError(
                f"The training diverged in epoch {self.current_epoch + 1}: the model's output is not finite. "
                f"Try a lower learning rate than {self.recipe.learning_rate:g}, or `--precision 32`."
            )
        self._scores = score(self.data.labels[self.data.val], probabilities)
        self.log("score", self._scores[self.monitor], prog_bar=True)  # a short name, or the bar breaks into lines

    def _of_all_ranks(self, own: Tensor) -> Tensor:
        """Put the probabilities of the ranks, of which each has every so-many-th image, together in the images' order."""
        every = own.new_zeros(len(own) * self.world_size, own.shape[1])
        every[self.rank :: self.world_size] = own
        every = self.trainer.strategy.reduce(every, reduce_op="sum")
        return every[: len(self.data.val)]

    def on_train_epoch_end(self) -> None:
        """Enter the epoch in the book; runs before the checkpoint is written."""
        loss = self.trainer.strategy.reduce(torch.stack(self._losses).mean(), reduce_op="mean").item()
        self._losses.clear()
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        row = {"epoch": self.current_epoch + 1, "learning_rate": float(rate), "train_loss": loss}
        self.history.append({**row, **{name: float(value) for name, value in self._scores.items()}})
        # Where no score is defined yet, the first epoch is the best so far.
        if schedules.epochs_since_best(self.scores()) == 0 or not self.best_weights:
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.eval_model.state_dict().items()}
        self.trainer.should_stop = self.is_finished()
        self.after_epoch(self)

    def best_epoch(self) -> int:
        """Return the number, from 1, of the epoch whose weights are kept."""
        return max(1, len(self.history) - schedules.epochs_since_best(self.scores()))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the book and the best weights."""
        checkpoint["history"] = self.history
        checkpoint["best_weights"] = self.best_weights

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the book and the best weights."""
        self.history = checkpoint["history"]
        self.best_weights = checkpoint["best_weights"]
