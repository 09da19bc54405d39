"""From stored pixels to inputs of a model, and from a model to probabilities; shared by training, prediction and export.

Images are scaled to 0..1, normalised by the mean and standard deviation that the weights expect, and kept in channels-last
memory. Predictions are the mean over an image and its mirror image, as in the paper.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Preprocessing(nn.Module):
    """The normalisation of a model; its buffers move with the model and are not saved with its weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Args: mean, std: of each colour channel, for images in 0..1."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return stored pixels uint8 (B, H, W, 3) as normalised images float32 (B, 3, H, W)."""
        return self.normalised(scaled(pixels))

    def normalised(self, images: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in 0..1, minus `mean`, divided by `std`, in channels-last memory."""
        images = (images - self.mean[:, None, None]) / self.std[:, None, None]
        return images.contiguous(memory_format=torch.channels_last)


def scaled(pixels: Tensor) -> Tensor:
    """Return uint8 (B, H, W, 3) as float32 (B, 3, H, W) in 0..1, in channels-last memory (no copy but the conversion)."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)


def flip_averaged(probabilities: Callable[[Tensor], Tensor], images: Tensor, *, flip: bool = True) -> Tensor:
    """Return probabilities (B, K) of images (B, 3, H, W), averaged over each image and its mirror image if `flip`."""
    found = probabilities(images)
    return (found + probabilities(images.flip(3))) / 2 if flip else found
