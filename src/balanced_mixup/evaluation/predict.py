"""Predict images without labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.preparation import read
from balanced_mixup.data.sources.unlabelled import unlabelled
from balanced_mixup.errors import DataError, RunError
from balanced_mixup.evaluation.predictions import PREFIX
from balanced_mixup.files import write_atomically
from balanced_mixup.training.classifier import Classifier


def predict_files(run: Path, paths: Sequence[Path], out: Path, *, flip: bool = True) -> pd.DataFrame:
    """Predict image files and the images in folders, and write a CSV.

    Args:
        run: Folder of a finished run.
        paths: Files and folders.
        out: The CSV: image, prediction, p_CLASS for each class.
        flip: Average over each image and its mirror image.

    Returns:
        The table, a row an image.

    Raises:
        UsageError: The run is not finished.
        DataError: Images are missing or cannot be read; names all of them, and nothing is written.
        RunError: The CSV cannot be written.
    """
    classifier = Classifier.load(run)
    images = unlabelled(paths)
    card = classifier.card
    pixels, inspection = read(Manifest(images, np.full(len(images), -1), card.classes), card.size)
    if inspection.fatal:
        raise DataError(inspection.fatal)
    probabilities = classifier.probabilities(pixels, flip=flip)
    names = np.array(card.classes, dtype=object)
    table = pd.DataFrame({"image": list(images.names), "prediction": names[probabilities.argmax(axis=1)]})
    for k, name in enumerate(card.classes):
        table[PREFIX + name] = probabilities[:, k]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, lambda temporary: table.to_csv(temporary, index=False, float_format="%.6f"))
    except OSError as error:
        raise RunError(f"The predictions could not be written to {str(out)!r}: {error}.") from error
    return table
