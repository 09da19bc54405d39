"""Predict images without labels."""

import logging
import math
from collections.abc import Iterable
from pathlib import Path

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.calibration.correction import Correction
from balanced_mixup.data.decoding import Decoding
from balanced_mixup.errors import UsageError
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.predictions import ImagePredictions
from balanced_mixup.runs.prepared_images import ImageLike, prepare_images
from balanced_mixup.runs.run import Run
from balanced_mixup.table_files import check_output, check_rows, write_table

log = logging.getLogger("balanced_mixup")

_MOST_SHARES = 12  # in a message


def predict(
    run: Path | str,
    images: ImageLike | Iterable[ImageLike],
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    flip: bool = True,
    calibrate: bool = True,
    prior: str | None = None,
    max_megapixels: float = Decoding.max_megapixels,
) -> ImagePredictions:
    """Predict the class of images without labels.

        predictions = predict("runs/mine", "new_photos")  # files and folders, images of Pillow, or arrays
        predictions.predicted, predictions.probabilities  # (N,) names, (N, K)
        predict("runs/mine", "new_photos", out="predictions.xlsx")

    Args:
        run: Folder of a finished run.
        images: One or several: paths of files and folders, images of Pillow, arrays uint8 (H, W, 3) RGB or (H, W) grey, of any
            size. They are decoded and resized as in training.
        out: Table to write as well, .csv, .parquet or .xlsx: image, prediction, p_CLASS for each class.
        overwrite: Replace `out` if it exists.
        flip: Average over each image and its mirror image.
        calibrate: Apply the temperature that was fitted on the run's validation split, where one was kept.
        prior: Class prior that the probabilities are corrected to: "train", "uniform", "estimate" (from these images, with an
            interval that takes them as independent), or a CSV file with the columns class and share.
        max_megapixels: Limit on the size of an image, see `Decoding`.

    Raises:
        UsageError: The run is not finished or cannot be calibrated, the prior is invalid or cannot be estimated, or `out`
            cannot be written or exists.
        DataError: Images are missing or cannot be read; names all of them, and nothing is written.
        RunError: The table cannot be written.
    """
    file = None if out is None else check_output(out, overwrite=overwrite)
    if prior is not None and not calibrate:
        raise UsageError("Expected no `prior` without calibration, which estimates the prior of the uncorrected probabilities.")
    classifier = Classifier.load(run)
    correction = Run.open(run).calibration if calibrate else None
    target = None if correction is None or prior is None else correction.prior(prior)
    validation = None
    if correction is not None and prior is not None and target is None:
        correction.require_every_class(validation := Run.open(run).predictions.in_split("val"))
    names, pixels = prepare_images(images, classifier.card, max_megapixels)
    if file is not None:
        check_rows(file, len(names))
    probabilities = classifier.probabilities(pixels, flip=flip)
    if correction is not None:
        if validation is not None:
            target = correction.estimate(validation, probabilities)
        probabilities = correction.apply(probabilities, target)
        log.info("%s", _described(correction, target))
    predictions = ImagePredictions(tuple(names), probabilities, classifier.card.classes)
    if file is not None:
        write_table(file, predictions.to_frame())
    return predictions


def _described(correction: Correction, target: TargetPrior | None) -> str:
    """Describe the correction in a sentence."""
    fitted = f"fitted on the {correction.images:,} validation images of the run"
    if target is None and correction.temperature_note:
        return f"The probabilities are as the model made them: no temperature is applied, as {correction.temperature_note}."
    if target is None:
        return f"The probabilities are calibrated: temperature {correction.temperature:.2f}, {fitted}."
    shares = target.by_class(correction.classes)
    largest_first = sorted(shares.items(), key=lambda item: -item[1].value)
    listed = [
        f"{name} {share.value:.1%}" + ("" if math.isnan(share.low) else f" [{share.low:.1%}, {share.high:.1%}]")
        for name, share in largest_first[:_MOST_SHARES]
    ]
    more = f" and {len(shares) - _MOST_SHARES} more classes" if len(shares) > _MOST_SHARES else ""
    tempered = "" if correction.prior_temperature_note else f"temperature {correction.prior_temperature:.2f} and "
    return (
        f"The probabilities are corrected to the class prior `{target.name}`: {', '.join(listed)}{more} ({tempered}the model's "
        f"own prior {fitted})."
    )
