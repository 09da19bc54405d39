"""`bmixup predict`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def predict(
    run: Path,
    images: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    out: Path = Path("predictions.csv"),
    flip: bool = True,
    calibrate: bool = True,
    prior: str | None = None,
    max_megapixels: float = 100,
) -> None:
    """Predict the class of images without labels.

    Writes a CSV with a row per image: image, prediction, and p_CLASS, the probability of each class. The probabilities are
    calibrated on the run's validation split: about 80 % of the images with a probability of 80 % for a class belong to it, as
    long as classes are as frequent as in that split. Where they are not, give the class prior with `--prior`:

    ```
    bmixup predict runs/mine new_photos --prior estimate
    bmixup predict runs/mine new_photos --prior clinic.csv
    ```

    `estimate` estimates it from the given images; the CSV has the columns class and share, a row per class. This is valid where
    only the class prior differs, not the appearance of a class, and can change the predicted class.

    Parameters
    ----------
    run
        Folder of a finished run.
    images
        Image files, or folders with images.
    out
        CSV file to write.
    flip
        Average over each image and its mirror image, as in the paper.
    calibrate
        Apply the temperature fitted on validation images (keeps the predicted class).
    prior
        Correct the probabilities to another class prior: `train` (that of the training split), `uniform`, `estimate` (from the
        given images), or a CSV file with the columns class and share.
    max_megapixels
        Limit on the size of an image, and of all images that are decoded at once.
    """
    from balanced_mixup.cli import show
    from balanced_mixup.evaluation.predict import predict_files

    predictions = predict_files(run, images, out, flip=flip, calibrate=calibrate, prior=prior, max_megapixels=max_megapixels)
    show.print_predictions(predictions, out)
