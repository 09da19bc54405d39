"""Balanced-MixUp with Hugging Face's Trainer: python examples/loops/hf_trainer.py (or torchrun --nproc-per-node 2 ...)

Two methods of the Trainer change: where its training batches come from, and what the loss is. Evaluation stays as it is.
"""

import tempfile
from typing import Any

import torch
from synthetic import CLASSES, synthetic_images
from torch import Tensor
from torch.utils.data import Dataset
from transformers import ResNetConfig, ResNetForImageClassification, Trainer, TrainingArguments

from balanced_mixup import BalancedMixUpLoader, CrossEntropy
from balanced_mixup.mixing import PairedBatch


class Images(Dataset[dict[str, Tensor]]):
    """Samples as Hugging Face's models take them."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        """Args: images: (N, 3, H, W). labels: (N,)."""
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        """Return a sample."""
        return {"pixel_values": self.images[row], "labels": self.labels[row]}


class BalancedMixUpTrainer(Trainer):
    """A Trainer of image classifiers whose batches are mixed with class-balanced ones."""

    def get_train_dataloader(self) -> Any:
        """Return the loader; the Trainer sets its epoch and, when it resumes, skips the steps that were done."""
        return BalancedMixUpLoader(
            self.train_dataset,
            self.train_dataset.labels,
            keys=("pixel_values", "labels"),
            batch_size=self.args.per_device_train_batch_size,
            num_workers=self.args.dataloader_num_workers,
            seed=self.args.seed,
        )

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        """Return the loss on soft targets of a training batch; that of an evaluation batch as ever."""
        if not isinstance(inputs, PairedBatch):
            return super().compute_loss(model, inputs, *arguments, **options)
        images, targets = inputs.mixed(model.config.num_labels if hasattr(model, "config") else CLASSES)
        return CrossEntropy()(model(pixel_values=images).logits, targets)


def main(epochs: int = 3, folder: str | None = None, **settings: Any) -> BalancedMixUpTrainer:
    """Train and evaluate, and return the trainer; `settings` are further `TrainingArguments`."""
    arguments = TrainingArguments(
        output_dir=folder or tempfile.mkdtemp(),
        num_train_epochs=epochs,
        per_device_train_batch_size=20,
        learning_rate=0.01,
        logging_strategy="epoch",
        eval_strategy="epoch",
        report_to="none",
        use_cpu=True,
        **{"save_strategy": "no", "disable_tqdm": True} | settings,
    )
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=CLASSES)
    trainer = BalancedMixUpTrainer(
        ResNetForImageClassification(config),
        arguments,
        train_dataset=Images(*synthetic_images()),
        eval_dataset=Images(*synthetic_images((20, 20, 20), seed=1)),
    )
    trainer.train()
    return trainer


if __name__ == "__main__":
    for entry in main().state.log_history:
        print(entry)
