"""Balanced-MixUp in a plain PyTorch loop, in one process or several.

python examples/loops/plain_ddp.py
torchrun --nproc-per-node 2 examples/loops/plain_ddp.py

The loader asks torch.distributed for its rank: together the processes see the batches of one process with twice the batch size.
"""

import torch
from synthetic import CLASSES, synthetic_images
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

from balanced_mixup import BalancedMixUpLoader, CrossEntropy


def main(epochs: int = 3, batch_size: int = 10) -> list[float]:
    """Train, and return the mean loss of each epoch in this process."""
    if distributed.is_torchelastic_launched():  # by torchrun
        distributed.init_process_group("gloo")
    images, labels = synthetic_images()
    loader = BalancedMixUpLoader(TensorDataset(images, labels), labels, batch_size=batch_size, alpha=0.2)
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), CLASSES))
    if distributed.is_initialized():
        model = DistributedDataParallel(model)
    optimizer, loss_function = torch.optim.SGD(model.parameters(), lr=0.05), CrossEntropy()
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for batch in loader.set_epoch(epoch):
            mixed, targets = batch.mixed(CLASSES)  # on a GPU: batch.to(device).mixed(CLASSES)
            loss = loss_function(model(mixed), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(loader))
    if distributed.is_initialized():
        distributed.destroy_process_group()
    return losses


if __name__ == "__main__":
    print("loss of each epoch:", *(f"{loss:.3f}" for loss in main()))
