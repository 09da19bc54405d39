"""Balanced-MixUp with Accelerate, in one process or several.

accelerate launch --num_processes 2 examples/loops/accelerate_ddp.py     # on a CPU: torchrun --nproc-per-node 2 ...

`prepare` divides torch `DataLoader`s between the processes; the loader divides itself, so it is used as it is. (A `DataLoader`
with `class_sampler(labels, rank=0, world_size=1)`, of all samples, goes through `prepare`.)
"""

import torch
from accelerate import Accelerator
from synthetic import CLASSES, synthetic_images
from torch import nn
from torch.utils.data import TensorDataset

from balanced_mixup import BalancedMixUpLoader, CrossEntropy


def main(epochs: int = 3, batch_size: int = 10) -> list[float]:
    """Train, and return the mean loss of each epoch in this process."""
    accelerator = Accelerator()
    images, labels = synthetic_images()
    loader = BalancedMixUpLoader(TensorDataset(images, labels), labels, batch_size=batch_size, alpha=0.2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), CLASSES))
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.05))
    loss_function = CrossEntropy()
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for batch in loader.set_epoch(epoch):
            mixed, targets = batch.to(accelerator.device).mixed(CLASSES)
            loss = loss_function(model(mixed), targets)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    accelerator.end_training()
    return losses


if __name__ == "__main__":
    print("loss of each epoch:", *(f"{loss:.3f}" for loss in main()))
