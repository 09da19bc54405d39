"""Balanced-MixUp with Lightning, in two processes: python examples/loops/lightning_ddp.py

Lightning moves the batch to the device and sets the loader's epoch. It divides torch `DataLoader`s between the processes, and
leaves this loader alone, which divides itself. So do `class_sampler` and `instance_sampler` in a `DataLoader`.
"""

import lightning as L
import torch
from synthetic import CLASSES, synthetic_images
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from balanced_mixup import BalancedMixUpLoader, CrossEntropy
from balanced_mixup.mixing import PairedBatch


class Classifier(L.LightningModule):
    """A linear classifier."""

    def __init__(self, features: int) -> None:
        """Args: features: the number of values of an image."""
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(features, CLASSES))
        self.losses: list[float] = []

    def training_step(self, batch: PairedBatch, batch_idx: int) -> Tensor:
        """Return the loss of the mixed batch."""
        images, targets = batch.mixed(CLASSES)
        loss = CrossEntropy()(self.model(images), targets)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return torch.optim.SGD(self.parameters(), lr=0.05)


def main(epochs: int = 3) -> list[float]:
    """Train, and return the loss of each step in this process."""
    images, labels = synthetic_images()
    loader = BalancedMixUpLoader(TensorDataset(images, labels), labels, batch_size=10, alpha=0.2)
    classifier = Classifier(images[0].numel())
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(classifier, loader)
    return classifier.losses


if __name__ == "__main__":
    losses = main()
    print(f"loss of the first step {losses[0]:.3f}, of the last {losses[-1]:.3f}")
