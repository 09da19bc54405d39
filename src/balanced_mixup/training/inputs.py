"""The inputs of a model in training: augmented images, or precomputed features."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from balanced_mixup.data.augment import AUGMENTATIONS
from balanced_mixup.data.batches import TrainBatch
from balanced_mixup.data.pixels import DevicePixels, Pixels
from balanced_mixup.errors import UsageError, human_bytes
from balanced_mixup.training.preprocessing import Preprocessing, scaled


@dataclass(frozen=True)
class FeatureCache:
    """Where features of the images of a training are cached, and what identifies these by their content.

    digests: (N,). directory: Folder of the stores; None to keep features in memory. origin: As `Images.origin`.
    """

    digests: Sequence[str]
    directory: Path | None = None
    origin: str | None = None


@dataclass(frozen=True)
class TrainingData:
    """The data of a training.

    Args:
        pixels: N images of (S, S).
        labels: int64 (N,).
        train: Rows of the training split.
        val: Rows of the validation split, which chooses the epoch.
        num_classes: K.
        ordinal: The classes are ordinal, in their order.
        cached: Where their features are cached; if not given, images are known by their row, and nothing is cached.
    """

    pixels: Pixels
    labels: npt.NDArray[np.int64]
    train: npt.NDArray[np.int64]
    val: npt.NDArray[np.int64]
    num_classes: int
    ordinal: bool = False
    cached: FeatureCache | None = None

    def on_device(self, device: torch.device) -> "TrainingData":
        """Return the same with its pixels in a GPU's memory. UsageError where they do not fit."""
        need, free = math.prod(self.pixels.shape), torch.cuda.mem_get_info(device)[0]
        if need > free * 0.8:
            raise UsageError(
                f"The decoded images need {human_bytes(need)}, but the GPU has {human_bytes(free)} free, some of it for "
                "the model. Use `--cache disk` or `--cache ram`."
            )
        return replace(self, pixels=DevicePixels.copy_of(self.pixels, device))


class Inputs(nn.Module, ABC):
    """Converts batches to inputs of the model."""

    @abstractmethod
    def for_training(self, batch: TrainBatch) -> Tensor:
        """Return the M inputs of a training step, before they are mixed."""

    @abstractmethod
    def for_evaluation(self, stored: Tensor) -> Tensor:
        """Return the inputs of a batch as it is stored, without augmentation."""


class ImageInputs(Inputs):
    """Stored pixels to augmented, normalised images (B, 3, H, W)."""

    def __init__(self, preprocessing: Preprocessing, augmentation: str) -> None:
        """Args: preprocessing: Of the backbone. augmentation: Preset by name."""
        super().__init__()
        self.preprocessing = preprocessing
        self.augmentation = AUGMENTATIONS[augmentation]

    def for_training(self, batch: TrainBatch) -> Tensor:
        """Augment each image with its random numbers."""
        return self.augmentation(scaled(batch.pixels), batch.uniforms, self.preprocessing.mean, self.preprocessing.std)

    def for_evaluation(self, stored: Tensor) -> Tensor:
        """Normalise uint8 (B, H, W, 3)."""
        images: Tensor = self.preprocessing(stored)
        return images


class FeatureInputs(Inputs):
    """Stored features (B, C, F) of C copies of each image to features (B, F); (B, F, 1, 1) for a head that is a convolution."""

    def __init__(self, *, as_map: bool) -> None:
        """Args: as_map: The head is a convolution."""
        super().__init__()
        self.shape = (1, 1) if as_map else ()

    def for_training(self, batch: TrainBatch) -> Tensor:
        """Choose an augmented copy of each image, by the first of its random numbers; the image itself if there are none."""
        if (copies := batch.pixels.shape[1]) == 1:
            return self._shaped(batch.pixels[:, 0])
        chosen = 1 + (batch.uniforms[:, 0] * (copies - 1)).long()  # the first is the image itself
        chosen = chosen.clamp_max(copies - 1)  # a number just below 1 rounds to 1 in float32
        return self._shaped(batch.pixels[torch.arange(len(chosen), device=chosen.device), chosen])

    def for_evaluation(self, stored: Tensor) -> Tensor:
        """Return the features of the image itself."""
        return self._shaped(stored[:, 0])

    def _shaped(self, features: Tensor) -> Tensor:
        return features.reshape(*features.shape, *self.shape)
