"""Where a classifier finds its evidence for a class: Grad-CAM (Selvaraju et al., ICCV 2017) on any architecture of timm.

Notable decisions
- Captum computes Grad-CAM; `feature_map` gives it a map of any model.
- Evidence keeps its sign until it is drawn, so that the fraction for the class can be computed.
- A map without positive evidence stays 0. Normalised by its maximum, it would show rounding errors as evidence.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from balanced_mixup.data.batches import EvalBatches
from balanced_mixup.data.pixels import Pixels, as_pixels
from balanced_mixup.errors import UsageError
from balanced_mixup.explain.feature_map import find_map
from balanced_mixup.extras import require
from balanced_mixup.progress import progress_bar
from balanced_mixup.runs.classifier import Classifier

Floats = npt.NDArray[np.float32]

_ROUND_OFF = 1e-6  # of the largest absolute value: rounding error of float32 sums that should be 0
COLOURS = "viridis"  # perceptually uniform and safe for colour-blind readers
_STRENGTH = 0.75  # opacity at the strongest evidence; the image stays visible


def saliency(
    classifier: Classifier,
    pixels: Pixels | npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64] | None = None,
    targets: npt.NDArray[np.integer] | None = None,
) -> Floats:
    """Return where the classifier finds its evidence for a class: the Grad-CAM map of each image.

        maps = saliency(classifier, pixels)          # of the predicted class
        picture = overlay(pixels[0], maps[0])

    Args:
        classifier: A trained model of timm.
        pixels: Images of (size, size), as `Pixels` or as an array uint8 (N, size, size, 3).
        rows: Which of them, in which order; all if not given.
        targets: The class of each row, (len(rows),); the one that `Classifier.probabilities` predicts if not given.

    Returns:
        float32 (len(rows), size, size), each map from 0 to 1, its largest value. A map is 0 everywhere if there is no
        evidence for the class.

    Raises:
        UsageError: Images or targets are not as described, the model has no feature map, or captum is not installed.
    """
    return upsampled(evidence(classifier, pixels, rows, targets), classifier.card.size)


def evidence(
    classifier: Classifier,
    pixels: Pixels | npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64] | None = None,
    targets: npt.NDArray[np.integer] | None = None,
) -> Floats:
    """Return Grad-CAM before its ReLU: float32 (len(rows), h, w), evidence for (> 0) and against (< 0) the class.

    `L = sum_c a_c A_c` with the feature map A (C, h, w) and `a_c`, the mean over all positions of the gradient of the class's
    score for A_c: its logit, or the logarithm of its probability for a head of thresholds between grades. With average pooling
    and a linear head, L sums to the logit minus its bias. Arguments and errors are those of `saliency`.
    """
    require("Grad-CAM", "explain", "captum")
    from captum.attr import LayerGradCam

    pixels = as_pixels(pixels)
    rows = np.arange(pixels.shape[0]) if rows is None else rows
    _check_pixels(pixels, classifier.card.size)
    if targets is None:
        targets = classifier.probabilities(pixels, rows).argmax(axis=1)
    wanted = torch.from_numpy(_checked_targets(targets, len(rows), len(classifier.card.classes))).to(classifier.device)
    model = find_map(classifier)
    grad_cam = LayerGradCam(model, model.map)
    maps: list[Floats] = []
    done = 0
    with progress_bar("Explaining", len(rows)) as advance:
        for batch in EvalBatches(pixels, rows, device=classifier.device):
            images = classifier.preprocessing(batch.to(classifier.device))
            found = grad_cam.attribute(images, wanted[done : done + len(batch)])
            maps.append(found[:, 0].detach().float().cpu().numpy())
            done += len(batch)
            advance(len(batch))
    return np.concatenate(maps) if maps else np.zeros((0, 1, 1), np.float32)


def positive_share(maps: Floats) -> Floats:
    """Return the fraction of the evidence (N, h, w) that is for the class, float32 (N,) from 0 to 1; 0 without evidence."""
    total = np.abs(maps).sum(axis=(1, 2))
    return _ratio(_positive(maps).sum(axis=(1, 2)), total)


def upsampled(maps: Floats, size: int) -> Floats:
    """Return the positive part of evidence (N, h, w), resized to (N, size, size), each map divided by its maximum."""
    large = F.interpolate(torch.from_numpy(_positive(maps))[:, None], (size, size), mode="bilinear")[:, 0].numpy()
    return _ratio(large, large.max(axis=(1, 2), keepdims=True))


def overlay(image: npt.NDArray[np.uint8], saliency_map: Floats) -> npt.NDArray[np.uint8]:
    """Return an image uint8 (H, W, 3) coloured by its map (H, W): not at all where it is 0, ever brighter up to 1.

    Raises:
        UsageError: Their shapes do not match.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape != (*saliency_map.shape, 3):
        raise UsageError(
            f"Expected an image uint8 (H, W, 3) and a map (H, W), but got {image.dtype} {image.shape} and {saliency_map.shape}."
        )
    require("A saliency overlay", "explain", "matplotlib")
    from matplotlib import colormaps

    colours = 255 * colormaps[COLOURS](saliency_map)[..., :3]
    share = _STRENGTH * saliency_map[..., None]
    blended: npt.NDArray[np.uint8] = np.rint((1 - share) * image + share * colours).astype(np.uint8)
    return blended


def _positive(maps: Floats) -> Floats:
    """Return the positive part of evidence (N, h, w), 0 where it is negligible rounding error."""
    scale = np.abs(maps).max(axis=(1, 2), keepdims=True, initial=0)
    return np.where(maps > _ROUND_OFF * scale, maps, np.float32(0))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return the ratio, 0 where the denominator is 0."""
    ratio: Floats = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return ratio


def _check_pixels(pixels: Pixels, size: int) -> None:
    if pixels.shape[1:] != (size, size, 3):
        raise UsageError(f"Expected images of ({size}, {size}, 3), as the model was trained on, but got {pixels.shape[1:]}.")


def _checked_targets(targets: npt.NDArray[np.integer], images: int, classes: int) -> npt.NDArray[np.int64]:
    if targets.shape != (images,) or targets.dtype.kind not in "iu":
        raise UsageError(f"Expected `targets` to be {images} integers, but got {targets.dtype} of shape {targets.shape}.")
    if images and not 0 <= targets.min() <= targets.max() < classes:
        raise UsageError(f"Expected `targets` from 0 to {classes - 1}, but got {targets.min()} to {targets.max()}.")
    return targets.astype(np.int64)
