"""Predict images without labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from balanced_mixup.data.decoding import Decoding
from balanced_mixup.errors import UsageError
from balanced_mixup.evaluation.evaluate import write_excluded
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.table_files import check_output, check_rows, write_table

# As in `experiment`, what computes is imported where it does.
if TYPE_CHECKING:
    from balanced_mixup.calibration.class_prior import TargetPrior
    from balanced_mixup.calibration.correction import Correction
    from balanced_mixup.runs.predictions import ImagePredictions
    from balanced_mixup.runs.prepared_images import ImageLike

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
    exclude_bad: bool = False,
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
        exclude_bad: Leave out images that cannot be read, instead of stopping. A warning names them; with `out`, the table
            NAME-excluded.csv beside it lists image and problem.

    Raises:
        UsageError: The run is not finished or cannot be calibrated, the prior is invalid or cannot be estimated, or `out`
            cannot be written or exists.
        DataError: Images are missing, or cannot be read and are not to be left out; names all of them, and nothing is written.
        RunError: The table cannot be written.
    """
    RunFolder(Path(run)).require_finished()
    file = None if out is None else check_output(out, overwrite=overwrite)
    listing = None if file is None or not exclude_bad else check_output(excluded_beside(file), overwrite=overwrite)
    if prior is not None and not calibrate:
        raise UsageError("Expected no `prior` without calibration, which estimates the prior of the uncorrected probabilities.")
    from balanced_mixup.runs.run import Run

    correction = Run.open(run).calibration if calibrate else None
    target = None if correction is None or prior is None else correction.prior(prior)
    validation = None
    if correction is not None and prior is not None and target is None:
        correction.require_every_class(validation := Run.open(run).predictions.in_split("val"))
    from balanced_mixup.runs.classifier import Classifier
    from balanced_mixup.runs.predicted_images import predict_images

    classifier = Classifier.load(run)
    predictions = predict_images(
        classifier,
        images,
        flip=flip,
        exclude_bad=exclude_bad,
        max_megapixels=max_megapixels,
        check_count=lambda count: None if file is None else check_rows(file, count),
    )
    if correction is not None:
        if validation is not None:
            target = correction.estimate(validation, predictions.probabilities)
        predictions = replace(predictions, probabilities=correction.apply(predictions.probabilities, target))
        log.info("%s", _described(correction, target))
    if file is not None:
        write_table(file, predictions.to_frame())
    if listing is not None:
        listing.unlink(missing_ok=True)  # of an earlier table that is replaced
        write_excluded(predictions.excluded, listing)
    return predictions


def excluded_beside(out: Path) -> Path:
    """Return where the images are listed that the table `out` of predictions leaves out."""
    return out.with_name(f"{out.stem}-excluded.csv")


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
