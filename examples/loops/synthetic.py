"""Images of three classes, of which two are rare, for the examples: noise with one channel brighter, by the class."""

import torch
from torch import Tensor

CLASSES = 3


def synthetic_images(counts: tuple[int, ...] = (160, 30, 10), size: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return images float32 (N, 3, size, size) and their classes int64 (N,), as many of each class as `counts` says."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.randn(len(labels), 3, size, size, generator=torch.Generator().manual_seed(seed))
    images[torch.arange(len(labels)), labels] += 0.5
    return images, labels
