"""The baseline: Balanced-MixUp as its published code does it.

Two `DataLoader`s over the same files, one shuffled and one drawn with equal class probabilities, each decoding and augmenting
its own images with PIL; the loop zips them and mixes whole batches, lambda ~ Beta(alpha, 1).
"""

import random
from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, WeightedRandomSampler
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Files(Dataset[tuple[Tensor, int]]):
    """Image files with labels, decoded and, for training, augmented when they are asked for."""

    def __init__(self, files: list[Path], labels: list[int], size: int, *, train: bool) -> None:
        self.files, self.labels = files, labels
        geometry = v2.RandomChoice(
            [v2.RandomAffine(0, scale=(0.95, 1.20)), v2.RandomAffine(0, translate=(0.05, 0)), v2.RandomRotation(45)]
        )
        colour = v2.ColorJitter(brightness=0.25, contrast=0.25, saturation=0.25, hue=0.01)
        flips = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        self.transform = v2.Compose([v2.Resize((size, size)), *([geometry, colour, *flips] if train else []), *to_tensor])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


def loaders(
    data: Files, batch_size: int, workers: int, steps: int | None = None
) -> tuple[DataLoader[tuple[Tensor, int]], DataLoader[tuple[Tensor, int]]]:
    """Return the instance and the class-balanced loader, for an epoch or for that many steps."""
    weights = 1 / np.bincount(data.labels)[data.labels]
    draws = len(data) if steps is None else steps * batch_size
    samplers = RandomSampler(data, num_samples=draws), WeightedRandomSampler(weights.tolist(), draws)
    first, second = (DataLoader(data, batch_size, sampler=s, num_workers=workers, drop_last=True) for s in samplers)
    return first, second


def mixed_batches(
    data: Files, batch_size: int, workers: int, num_classes: int, alpha: float, device: torch.device, steps: int | None = None
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield the mixed images (B, 3, H, W) and targets (B, K) of an epoch, or of that many steps."""
    for (images, labels), (others, other_labels) in zip(*loaders(data, batch_size, workers, steps), strict=True):
        weight = random.betavariate(alpha, 1)
        images, others = images.to(device), others.to(device)
        one_hot, other_one_hot = (
            torch.nn.functional.one_hot(y.to(device), num_classes).float() for y in (labels, other_labels)
        )
        yield (1 - weight) * images + weight * others, (1 - weight) * one_hot + weight * other_one_hot
