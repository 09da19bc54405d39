"""Embeddings of images: the features of a pretrained backbone before the classifier."""

import numpy as np
import numpy.typing as npt
import torch

from balanced_mixup.data.batches import EvalBatches
from balanced_mixup.data.folds import sample
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.preparation import prepare
from balanced_mixup.errors import UsageError
from balanced_mixup.training.backbones import DEFAULT, create, features_of
from balanced_mixup.training.preprocessing import Preprocessing


def embed(
    manifest: Manifest, *, images: int = 1500, size: int = 128, backbone: str = DEFAULT, weights: str = "auto", seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], list[str]]:
    """Return features (N, D) of about `images` images, stratified by class, their labels (N,) and the K classes that they have.

    Args:
        manifest: The data set.
        images: Approximate number of images to sample.
        size: Side in pixels that each is resized to.
        backbone, weights: As in a recipe; the default needs no download.
        seed: Seed of the sample.

    Raises:
        DataError: Something is wrong with the data.
        UsageError: They have fewer than two classes.
    """
    rows = sample(manifest.labels, None, images, seed)
    prepared = prepare(manifest.subset(rows), size, near_copies=False)
    present, labels = np.unique(prepared.manifest.labels, return_inverse=True)
    if len(present) < 2:
        raise UsageError("Expected images of at least two classes.")
    trained = create(backbone, len(prepared.manifest.classes), size, weights, seed)
    model, preprocessing = trained.model.eval(), Preprocessing(trained.mean, trained.std)
    with torch.inference_mode():
        batches = EvalBatches(prepared.pixels, np.arange(len(labels)))
        features = [features_of(model, preprocessing(pixels)) for pixels in batches]
    return torch.cat(features).numpy(), labels.astype(np.int64), [prepared.manifest.classes[k] for k in present]
