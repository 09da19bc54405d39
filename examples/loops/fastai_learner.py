"""Balanced-MixUp with fastai: python examples/loops/fastai_learner.py

The loader takes the place of the training `DataLoader`; a callback sets its epoch and mixes each batch. Validation stays.
"""

import tempfile

import torch
from fastai.basics import Callback, DataLoaders, Learner
from fastai.metrics import accuracy
from synthetic import CLASSES, synthetic_images
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from balanced_mixup import BalancedMixUpLoader, CrossEntropy
from balanced_mixup.mixing import PairedBatch


class MixPairs(Callback):
    """Sets the loader's epoch, and mixes each training batch before the model sees it."""

    def before_train(self) -> None:
        """Tell the loader which epoch it is."""
        self.dls.train.set_epoch(self.epoch)

    def before_batch(self) -> None:
        """Mix. fastai has split the batch into inputs and targets."""
        if self.training:
            images, targets = PairedBatch(self.xb + self.yb).mixed(CLASSES)
            self.learn.xb, self.learn.yb = (images,), (targets,)


class Loss(nn.Module):
    """Cross-entropy on soft targets in training, on class numbers in validation."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss."""
        return CrossEntropy()(logits, targets) if targets.ndim == 2 else nn.functional.cross_entropy(logits, targets)


def main(epochs: int = 3) -> Learner:
    """Train, and return the learner."""
    images, labels = synthetic_images()
    train = BalancedMixUpLoader(TensorDataset(images, labels), labels, batch_size=20, alpha=0.2)
    validation = DataLoader(TensorDataset(*synthetic_images((20, 20, 20), seed=1)), batch_size=60)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), CLASSES))
    data = DataLoaders(train, validation, path=tempfile.mkdtemp(), device=torch.device("cpu"))
    learner = Learner(data, model, Loss(), metrics=accuracy, cbs=MixPairs())
    learner.fit(epochs, lr=0.01)
    return learner


if __name__ == "__main__":
    print("loss and accuracy on validation:", main().validate())
