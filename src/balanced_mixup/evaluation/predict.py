"""Predict images without labels."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.data.decoding import Decoding
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.pixels import Pixels
from balanced_mixup.data.preparation import read
from balanced_mixup.data.sources.unlabelled import unlabelled
from balanced_mixup.errors import DataError, RunError, UsageError, describe
from balanced_mixup.files import write_atomically
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import PREFIX
from balanced_mixup.runs.run import Run

log = logging.getLogger("balanced_mixup")

_MOST_SHARES = 12  # in a message


def predict_files(
    run: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    flip: bool = True,
    calibrate: bool = True,
    prior: str | None = None,
    max_megapixels: float = Decoding.max_megapixels,
) -> pd.DataFrame:
    """Predict image files and the images in folders, and write a CSV.

    Args:
        run: Folder of a finished run.
        paths: Files and folders.
        out: The CSV: image, prediction, p_CLASS for each class.
        flip: Average over each image and its mirror image.
        calibrate: Apply the temperature that was fitted on the run's validation split.
        prior: Class prior that the probabilities are corrected to: "train", "uniform", "estimate" (from these images), or a
            CSV file with the columns class and share.
        max_megapixels: Limit on the size of an image, see `Decoding`.

    Returns:
        The table, a row per image.

    Raises:
        UsageError: The run is not finished or cannot be calibrated, or the prior is invalid.
        DataError: Images are missing or cannot be read; names all of them, and nothing is written.
        RunError: The CSV cannot be written.
    """
    if prior is not None and not calibrate:
        raise UsageError("Expected no `prior` without calibration, which estimates the prior of the uncorrected probabilities.")
    classifier = Classifier.load(run)
    correction = Run.open(run).calibration if calibrate else None
    target = None if correction is None or prior is None else correction.prior(prior)
    card = classifier.card
    images, pixels = read_images(paths, card, max_megapixels)
    probabilities = classifier.probabilities(pixels, flip=flip)
    if correction is not None:
        if prior == "estimate":
            target = correction.estimate(probabilities)
        probabilities = correction.apply(probabilities, target)
        log.info("%s", _described(correction, target))
    names = np.array(card.classes, dtype=object)
    columns = {PREFIX + name: probabilities[:, k] for k, name in enumerate(card.classes)}
    table = pd.DataFrame({"image": images, "prediction": names[probabilities.argmax(axis=1)], **columns})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, lambda temporary: table.to_csv(temporary, index=False, float_format="%.6f"))
    except OSError as error:
        raise RunError(f"The predictions could not be written to {str(out)!r}: {error}.") from error
    return table


def read_images(
    paths: Sequence[Path], card: ModelCard, max_megapixels: float = Decoding.max_megapixels
) -> tuple[list[str], Pixels]:
    """Return the names of N images without labels, in files and folders, and their pixels at the size of the model.

    They are decoded as those that it was trained on. What is only suspicious about them is logged.

    Raises:
        DataError: Images are missing or cannot be read; names all of them.
    """
    images = unlabelled(paths).decoded_by(Decoding(max_megapixels, card.bit_depth))
    pixels, inspection = read(Manifest(images, np.full(len(images), -1), card.classes), card.size)
    if inspection.fatal:
        raise DataError(inspection.fatal)
    if inspection.warnings:
        log.warning("%s", describe(inspection.warnings, examples=5))
    return list(images.names), pixels


def _described(correction: Correction, target: TargetPrior | None) -> str:
    """Describe the correction in a sentence."""
    fitted = f"fitted on the {correction.images:,} validation images of the run"
    if target is None:
        return f"The probabilities are calibrated: temperature {correction.temperature:.2f}, {fitted}."
    shares = target.by_class(correction.classes)
    largest_first = sorted(shares.items(), key=lambda item: -item[1].value)
    listed = [
        f"{name} {share.value:.1%}" + ("" if math.isnan(share.low) else f" [{share.low:.1%}, {share.high:.1%}]")
        for name, share in largest_first[:_MOST_SHARES]
    ]
    more = f" and {len(shares) - _MOST_SHARES} more classes" if len(shares) > _MOST_SHARES else ""
    return (
        f"The probabilities are corrected to the class prior `{target.name}`: {', '.join(listed)}{more} (temperature "
        f"{correction.prior_temperature:.2f} and the model's own prior {fitted})."
    )
