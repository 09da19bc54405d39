"""What a pretrained backbone sees in images: its features before the classifier."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from balanced_mixup.data.batches import EvalBatches, normalised, to_images
from balanced_mixup.data.folds import sample
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.preparation import prepare
from balanced_mixup.errors import UsageError
from balanced_mixup.training.backbones import PACKAGED, create


def embed(
    manifest: Manifest, *, images: int = 1500, size: int = 128, backbone: str = PACKAGED, weights: str = "auto", seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], list[str]]:
    """Return features (N, D) of about `images` images, stratified by class, their labels (N,) and the K classes that they have.

    Args:
        manifest: The data set.
        images: About how many to take.
        size: Side in pixels that each is resized to.
        backbone, weights: As in a recipe; the default needs no download.
        seed: Decides which images are taken.

    Raises:
        DataError: Something is wrong with the data.
        UsageError: They have fewer than two classes.
    """
    rows = sample(manifest.labels, None, images, seed)
    prepared = prepare(manifest.subset(rows), size)
    present, labels = np.unique(prepared.manifest.labels, return_inverse=True)
    if len(present) < 2:
        raise UsageError("Expected images of at least two classes.")
    trained = create(backbone, len(prepared.manifest.classes), size, weights, seed)
    model: Any = trained.model.eval()  # what timm adds to a Module has no common type
    mean, std = torch.tensor(trained.mean), torch.tensor(trained.std)
    features = []
    with torch.inference_mode():
        for pixels in EvalBatches(prepared.pixels, np.arange(len(labels))):
            maps = model.forward_features(normalised(to_images(pixels), mean, std))
            features.append(model.forward_head(maps, pre_logits=True))
    return torch.cat(features).numpy(), labels.astype(np.int64), [prepared.manifest.classes[k] for k in present]
