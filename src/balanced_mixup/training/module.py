"""The Lightning module: one training step, one validation pass, for the stages that share an optimiser."""

from collections.abc import Callable
from typing import Any

import lightning as L
import numpy as np
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from balanced_mixup.data.batches import EvalBatches, TrainBatch, TrainBatches
from balanced_mixup.errors import RunError
from balanced_mixup.methods import OptimizerSettings, Stage
from balanced_mixup.metrics import score
from balanced_mixup.randomness import torch_seed
from balanced_mixup.training import schedules
from balanced_mixup.training.history import History, upgraded
from balanced_mixup.training.inputs import Inputs, TrainingData
from balanced_mixup.training.recipe import Recipe
from balanced_mixup.training.segments import Segment
from balanced_mixup.training.sharpness import ascended


class ClassifierModule(L.LightningModule):
    """A model in training over one segment.

    `history` has a row per epoch, `best_weights` those of the epoch with the best validation score of the last stage so far
    (the first of equal ones). Both are part of the checkpoint, so that state, history and best weights are consistent.
    """

    def __init__(
        self,
        recipe: Recipe,
        segment: Segment,
        model: nn.Module,
        inputs: Inputs,
        data: TrainingData,
        history: History,
        after_epoch: Callable[["ClassifierModule"], None],
        mark: str = "",
    ) -> None:
        """Set up the training of `model`.

        `after_epoch` is called when an epoch has been added to the history; a checkpoint with another `mark` is refused.
        """
        super().__init__()
        self.mark, self.has_started = mark, False
        self.recipe, self.segment, self.data, self.history = recipe, segment, data, history
        self.first_row = len(history.rows)
        self.after_epoch = after_epoch
        self.model = model.train().to(memory_format=torch.channels_last)
        if recipe.compile and not segment.trains_head:
            self.model.compile()
        self.average = None
        if recipe.ema_decay:
            self.average = ModelEmaV3(self.model, recipe.ema_decay, use_warmup=True).requires_grad_(False)
        self.inputs = inputs
        self.losses = nn.ModuleList([stage.loss for _, stage in segment.stages])
        self.best_weights: dict[str, Tensor] = {}
        self.rank, self.world_size = 0, 1
        self._step_losses: list[Tensor] = []
        self._ascended = False
        self._probabilities: list[Tensor] = []
        changed = segment.stages[0][1].optimizer or OptimizerSettings()
        self.optimizer_settings = recipe.model_copy(update=changed.model_dump(exclude_none=True))

    @property
    def eval_model(self) -> nn.Module:
        """The model that is validated and kept: the running average of the weights, if the recipe asks for one."""
        return self.model if self.average is None else self.average.module

    @property
    def epoch(self) -> int:
        """The current epoch, from 0 over the whole training."""
        return self.segment.start + self.current_epoch

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.segment.stage_at(self.epoch)

    def batches(self, epoch: int) -> TrainBatches:
        """Return the training steps of an epoch, numbered over the whole training."""
        return TrainBatches(
            self.data.pixels,
            self.data.labels,
            self.data.train,
            self.segment.stage_at(epoch),
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            epoch=epoch,
            rank=self.rank,
            world_size=self.world_size,
            device=self.device,
        )

    def setup(self, stage: str) -> None:
        """Store the rank of this process and the number of processes."""
        self.rank, self.world_size = self.global_rank, self.trainer.world_size

    def on_fit_start(self) -> None:
        """Compute with as many threads in each process, and copy the images to the GPU, where the recipe wants them there."""
        torch.set_num_threads(self.trainer.strategy.broadcast(torch.get_num_threads()))
        if self.recipe.cache == "device" and self.device.type != "cpu" and not self.segment.trains_head:
            self.data = self.data.on_device(self.device)

    def train_dataloader(self) -> TrainBatches:
        """Return the steps of the current epoch."""
        return self.batches(self.epoch)

    def val_dataloader(self) -> EvalBatches:
        """Return the validation images."""
        return EvalBatches(self.data.pixels, self.data.val, rank=self.rank, world_size=self.world_size, device=self.device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser; its learning rate is set before each step."""
        r = self.optimizer_settings
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if r.optimizer == "sgd":
            return torch.optim.SGD(parameters, r.learning_rate, momentum=r.momentum, weight_decay=r.weight_decay, fused=True)
        return torch.optim.AdamW(parameters, r.learning_rate, weight_decay=r.weight_decay, fused=True)

    @property
    def learning_rate(self) -> schedules.LearningRate:
        """The schedule over the epochs of the segment."""
        r, epochs = self.optimizer_settings, self.segment.end - self.segment.start
        steps = len(self.batches(self.segment.start))
        return schedules.LearningRate(r.schedule, r.learning_rate, steps, epochs, r.warmup, r.cycle_epochs, r.plateau_patience)

    @property
    def first_row_of_last_stage(self) -> int:
        """Where the history of the last stage begins, within which the best epoch is chosen."""
        return self.first_row + self.segment.last_start - self.segment.start

    def is_finished(self) -> bool:
        """Return whether early stopping or the plateau schedule ends the training."""
        scores = self.history.scores(self.first_row_of_last_stage)
        if not scores:
            return False
        waited = self.recipe.patience is not None and schedules.epochs_since_best(scores) >= self.recipe.patience
        return waited or self.learning_rate.has_ended(self.history.scores(self.first_row))

    def on_train_start(self) -> None:
        """Stop at once if the run was killed after its last epoch, and collect the tensors to average."""
        if self.average is not None:
            states = zip(self.average.module.state_dict().values(), self.model.state_dict().values(), strict=True)
            pairs = [(average, current) for average, current in states if average.is_floating_point()]
            self._averaged = [list(tensors) for tensors in zip(*pairs, strict=True)]
        self.trainer.should_stop = self.is_finished()
        self.has_started = True

    def on_train_epoch_start(self) -> None:
        """Select the loss and the learning rate schedule of the epoch."""
        self._loss = self.losses[[stage for _, stage in self.segment.stages].index(self.stage)]
        self._rate, self._scores_so_far = self.learning_rate, self.history.scores(self.first_row)

    def on_train_batch_start(self, batch: TrainBatch, batch_idx: int) -> None:
        """Set the learning rate, and seed the randomness inside the model (dropout)."""
        rate = self._rate.at(self.global_step, self._scores_so_far)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self._seed_model(batch_idx)

    def _seed_model(self, batch_idx: int) -> None:
        seed = torch_seed(self.recipe.seed, "model", self.epoch, batch_idx, self.rank)
        if self.device.type == "cpu":
            # `torch.manual_seed` would queue a call, with the stack as text, for each kind of device that is not used.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Augment, mix, and return the loss."""
        with torch.autocast(self.device.type, enabled=False):  # reduced precision is for the model alone, not for the pixels
            inputs, targets = batch.mixed(self.inputs.for_training(batch), self.data.num_classes, self.stage.mix)
        loss: Tensor = self._loss(self.model(_channels_last(inputs)).flatten(1), targets)
        if not self._ascended:
            self._step_losses.append(loss.detach())
        return loss

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Make a step; with SAM by the gradient nearby, which a second pass over the same batch computes."""
        rho, closure = self.recipe.sam_rho, optimizer_closure
        if not rho or closure is None:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            return

        def both_passes() -> Any:
            result = closure()
            self._seed_model(batch_idx)  # the same dropout in both
            self._ascended = True
            try:
                with ascended(self.model, rho):
                    closure()
            finally:
                self._ascended = False
            return result

        optimizer.step(closure=both_passes)

    def on_train_batch_end(self, outputs: Any, batch: TrainBatch, batch_idx: int) -> None:
        """Shorten weights that are too long, and update the running average of the weights."""
        if self.stage.max_norm is not None:
            for weight in (parameter for parameter in self.model.parameters() if parameter.ndim > 1):
                weight.data.copy_(torch.renorm(weight.data, p=2, dim=0, maxnorm=self.stage.max_norm))
        if self.average is not None:
            # Same as `ModelEmaV3.update`, which spends most of its time on collecting the tensors at each step.
            averages, current = self._averaged
            with torch.no_grad():
                torch._foreach_lerp_(averages, current, 1 - self.average.get_decay(self.global_step))

    def validation_step(self, stored: Tensor, batch_idx: int) -> None:
        """Collect the probabilities of a batch."""
        outputs = self.eval_model(self.inputs.for_evaluation(stored)).flatten(1)
        self._probabilities.append(self.segment.head.probabilities(outputs))

    def on_validation_epoch_end(self) -> None:
        """Score all validation images at once."""
        probabilities = self._gather_ranks(torch.cat(self._probabilities)).cpu().numpy()
        self._probabilities.clear()
        if not np.isfinite(probabilities).all():
            raise RunError(
                f"The training diverged in epoch {self.epoch + 1}: the model's output is not finite. "
                f"Try a lower learning rate than {self.optimizer_settings.learning_rate:g}, or `--precision 32`."
            )
        self._scores = score(self.data.labels[self.data.val], probabilities)
        self.log(
            "score", self._scores[self.history.monitor], prog_bar=True
        )  # a short name, so that the progress bar fits on a line

    def _gather_ranks(self, own: Tensor) -> Tensor:
        """Return the probabilities of all ranks, each of which has every `world_size`-th image, in the images' order."""
        every = own.new_zeros(len(own) * self.world_size, own.shape[1])
        every[self.rank :: self.world_size] = own
        every = self.trainer.strategy.reduce(every, reduce_op="sum")
        return every[: len(self.data.val)]

    def on_train_epoch_end(self) -> None:
        """Add the epoch to the history; runs before the checkpoint is written."""
        loss = self.trainer.strategy.reduce(torch.stack(self._step_losses).mean(), reduce_op="mean").item()
        self._step_losses.clear()
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        scores = {name: float(value) for name, value in self._scores.items()}
        row = {"epoch": self.epoch + 1, "stage": self.stage.name, "learning_rate": rate, "train_loss": loss, **scores}
        self.history.rows.append(row)
        if self.logger is not None:
            logged = {name: value for name, value in row.items() if isinstance(value, float)}
            self.logger.log_metrics(logged, step=self.epoch + 1)
        if self.epoch >= self.segment.last_start and self._should_keep():
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.eval_model.state_dict().items()}
        self.trainer.should_stop = self.is_finished()
        self.after_epoch(self)

    def _should_keep(self) -> bool:
        # Where no score is defined yet, the first epoch is the best so far.
        is_best = schedules.epochs_since_best(self.history.scores(self.first_row_of_last_stage)) == 0
        return self.segment.keeps == "last" or is_best or not self.best_weights

    def is_best_so_far(self) -> bool:
        """Return whether the last epoch is the best of the last stage so far."""
        return self.epoch >= self.segment.last_start and self.kept_epoch() == self.history.rows[-1]["epoch"]

    def kept_epoch(self) -> int:
        """Return the number, from 1, of the epoch whose weights are kept."""
        if self.segment.keeps == "last":
            return int(self.history.rows[-1]["epoch"])
        return self.history.best_epoch(min(self.first_row_of_last_stage, len(self.history.rows) - 1))

    def on_train_end(self) -> None:
        """Continue in all processes with the weights of the first: running means of batch normalisation differ among them."""
        self.best_weights = self.trainer.strategy.broadcast(self.best_weights)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the mark, the history and the best weights."""
        checkpoint["mark"] = self.mark
        checkpoint["history"] = self.history.rows
        checkpoint["best_weights"] = self.best_weights

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the history and the best weights."""
        # Checkpoints of older versions have no mark.
        if (mark := checkpoint.get("mark")) and self.mark and mark != self.mark:
            raise ValueError("it belongs to a training with other settings or on other data")
        self.history.rows[:] = upgraded(checkpoint["history"])
        self.best_weights = checkpoint["best_weights"]


def _channels_last(inputs: Tensor) -> Tensor:
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs
