"""Features of all images, computed once, for stages that train the head alone: seconds instead of minutes."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS
from balanced_mixup.data.batches import EvalBatches
from balanced_mixup.errors import UsageError
from balanced_mixup.progress import progress_bar
from balanced_mixup.randomness import uniforms
from balanced_mixup.training.backbones import apply_head, features_of, head_layer
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.preprocessing import Preprocessing, scaled


class StoredFeatures:
    """Features in place of pixels: float32 (N, C, F), of each image and of its C - 1 augmented copies."""

    def __init__(self, features: Tensor) -> None:
        """Args: features: (N, C, F)."""
        self.values = features

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, F, 1)."""
        n, copies, features = self.values.shape
        return (n, copies, features, 1)

    def gather(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """Return float32 (len(rows), C, F), a copy."""
        return self.values[torch.from_numpy(rows)]

    def subset(self, rows: npt.NDArray[np.int64]) -> "StoredFeatures":
        """Return those of some images."""
        return StoredFeatures(self.gather(rows))


def with_features(
    model: nn.Module,
    preprocessing: Preprocessing,
    data: TrainingData,
    *,
    augmentation: str = "none",
    copies: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> TrainingData:
    """Return the training and validation images as features (`StoredFeatures`), the training rows first.

    Args:
        model: A backbone with its head.
        preprocessing: Of the backbone.
        data: Images.
        augmentation: Preset by name, for the copies.
        copies: Augmented copies of each training image beside the image itself.
        seed: Decides the copies' augmentation.
        device: Where to compute.

    Raises:
        UsageError: The architecture's outputs are no function of its features alone.
    """
    rows, ntrain = np.concatenate([data.train, data.val]), len(data.train)
    model, preprocessing, augment = model.to(device).eval(), preprocessing.to(device), AUGMENTATIONS[augmentation]
    values: list[Tensor] = []
    with torch.inference_mode(), progress_bar("Computing features", len(rows)) as advance:
        for pixels in EvalBatches(data.pixels, rows, device=torch.device(device)):
            done = sum(map(len, values))
            images = scaled(pixels.to(device))
            features = [features_of(model, preprocessing.normalised(images))]
            if done == 0:
                _check_head(model, preprocessing.normalised(images[:2]), features[0][:2])
            for copy in range(copies):
                numbers = uniforms(
                    (rows[done : done + len(pixels)] * N_UNIFORMS)[:, None] + np.arange(N_UNIFORMS), seed, "features", copy
                )
                drawn = torch.from_numpy(numbers.astype(np.float32)).to(device)
                features.append(features_of(model, augment(images, drawn, preprocessing.mean, preprocessing.std)))
            values.append(torch.stack(features, dim=1).float().cpu())
            advance(len(pixels))
    stored = StoredFeatures(torch.cat(values).clone())  # cloned outside inference mode, so that it can be used in training
    every = np.arange(len(rows))
    return TrainingData(stored, data.labels[rows], every[:ntrain], every[ntrain:], data.num_classes, data.ordinal)


def _check_head(model: nn.Module, images: Tensor, features: Tensor) -> None:
    outputs, again = model(images), apply_head(head_layer(model), features)
    if outputs.shape != again.shape or not torch.allclose(outputs, again, rtol=1e-3, atol=1e-4):
        raise UsageError(
            f"The head of {type(model).__name__} cannot be applied to precomputed features: it cannot be trained alone."
        )
