"""From rows to batches: what a training step reads, and what validation and prediction read.

A training step reads its images in one gather: the instance branch's, and of the class branch's only those whose weight
counts. Everything in a batch is a function of (seed, epoch, step).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.data.augment import N_UNIFORMS
from balanced_mixup.mixing import Mixing, mix_partners, one_hot
from balanced_mixup.randomness import generator, uniforms
from balanced_mixup.sampling import Branch

Pixels = npt.NDArray[np.uint8]


class TrainBatch(NamedTuple):
    """What a training step of B samples reads: M >= B images, the first B are the samples, the others partners.

    pixels: uint8 (M, H, W, 3). labels: int64 (M,). uniforms: float32 (M, N_UNIFORMS), for the augmentation.
    partner: int64 (B,), where each sample's partner stands among the M. weight: float32 (B,), the partner's weight.
    """

    pixels: Tensor
    labels: Tensor
    uniforms: Tensor
    partner: Tensor
    weight: Tensor

    def mixed(self, images: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Return the B mixed images and their soft targets (B, K), given the M images after augmentation."""
        return mix_partners(images, one_hot(self.labels, num_classes), self.partner, self.weight)


class TrainBatches:
    """The training steps of one epoch."""

    def __init__(
        self,
        pixels: Pixels,
        labels: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        branches: tuple[Branch, Branch],
        mixing: Mixing,
        *,
        batch_size: int,
        seed: int,
        epoch: int,
    ) -> None:
        """Set up the epoch.

        Args:
            pixels: uint8 (N, H, W, 3), all images of the data set.
            labels: int64 (N,).
            rows: Which of the N are for training; the branches number them from 0.
            branches: Where samples come from, and where Balanced-MixUp's partners come from.
            mixing: How they are paired and weighted.
            batch_size: Samples a step. The last, incomplete batch of an epoch is left out, unless it is the only one.
            seed: With the epoch it decides every draw.
            epoch: From 0.
        """
        self.pixels, self.labels, self.rows = pixels, labels, rows
        self.branches, self.mixing = branches, mixing
        self.batch_size, self.seed, self.epoch = min(batch_size, len(rows)), seed, epoch

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[TrainBatch]:
        """Yield the steps in their order."""
        return (self.step(step) for step in range(len(self)))

    def step(self, step: int) -> TrainBatch:
        """Return one step's batch."""
        b = self.batch_size
        positions = np.arange(step * b, (step + 1) * b)
        candidates = self.branches[0].rows(self.epoch, positions)
        if self.mixing.uses_class_branch:
            candidates = np.concatenate([candidates, self.branches[1].rows(self.epoch, positions)])
        partner, weight = self.mixing.pair(b, generator(self.seed, "mixing", self.epoch, step))
        read, where = np.unique(np.concatenate([np.arange(b), partner]), return_inverse=True)
        draws = uniforms(
            # The two branches augment independently, each image by its place in the epoch.
            ((positions[read % b] * 2 + read // b) * N_UNIFORMS)[:, None] + np.arange(N_UNIFORMS),
            self.seed,
            "augment",
            self.epoch,
        )
        rows = self.rows[candidates[read]]
        return TrainBatch(
            torch.from_numpy(self.pixels[rows]),
            torch.from_numpy(self.labels[rows]),
            torch.from_numpy(draws.astype(np.float32)),
            torch.from_numpy(where[b:]),
            torch.from_numpy(weight),
        )


class EvalBatches:
    """Images in the order of `rows`, each once, by itself."""

    def __init__(self, pixels: Pixels, rows: npt.NDArray[np.int64], batch_size: int | None = None) -> None:
        """Take some `rows` of `pixels`, uint8 (N, H, W, 3), `batch_size` at a time.

        If not given, a batch has 4 million pixels (256 images of 128 px, 16 of 512 px): memory does not grow with image size.
        """
        self.pixels, self.rows = pixels, rows
        self.batch_size = batch_size or _fitting_batch_size(pixels)

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield uint8 (B, H, W, 3)."""
        for start in range(0, len(self.rows), self.batch_size):
            yield torch.from_numpy(self.pixels[self.rows[start : start + self.batch_size]])


def _fitting_batch_size(pixels: Pixels) -> int:
    _, height, width, _ = pixels.shape
    return max(1, min(256, 2**22 // int(height * width)))


def to_images(pixels: Tensor) -> Tensor:
    """Return uint8 (B, H, W, 3) as float32 (B, 3, H, W) in 0..1, in channels-last memory (no copy but the conversion)."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)


def normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return images (B, 3, H, W) less `mean` (3,), divided by `std` (3,), in channels-last memory."""
    scaled = (images - mean[:, None, None]) / std[:, None, None]
    return scaled.contiguous(memory_format=torch.channels_last)
