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
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    flip: bool = True,
    calibrate: bool = True,
    prior: str | None = None,
    max_megapixels: float = 100,
    exclude_bad: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Predict the class of images without labels.

    Writes a table (CSV, Parquet or Excel) with a row per image: image, prediction, and p_CLASS, the probability of each class.
    The files of a folder that are no images by their suffix are left out, and counted.

    The probabilities are calibrated by a temperature from the run's validation split, where there are enough images and it is
    known to help; a line says so, or why none is applied. They hold as long as classes are as frequent as in that split. Where
    they are not, give the class prior with `--prior`:

    ```
    bmixup predict runs/mine new_photos --prior estimate
    bmixup predict runs/mine new_photos --prior clinic.csv
    ```

    `estimate` estimates it from the given images, with an interval, if every class has validation images; clinic.csv has the
    columns class and share, a row per class. This is valid where only the class prior differs, not the appearance of a class,
    and can change the predicted class.

    Parameters
    ----------
    run
        Folder of a finished run.
    images
        Image files, or folders with images.
    out
        Table to write: .csv, .parquet or .xlsx. In CSV and Excel, text that a spreadsheet would run as a formula gets an
        apostrophe in front.
    overwrite
        Replace `--out` if it exists.
    flip
        Average over each image and its mirror image, as in the paper.
    calibrate
        Apply the temperature fitted on validation images, if one was kept (keeps the predicted class).
    prior
        Correct the probabilities to another class prior: `train` (that of the training split), `uniform`, `estimate` (from the
        given images), or a CSV file with the columns class and share.
    max_megapixels
        Limit on the size of an image, and of all images that are decoded at once.
    exclude_bad
        Leave out images that cannot be read, instead of stopping; a table beside `--out` lists them, NAME-excluded.csv.
    """
    from balanced_mixup.cli.refuse import refuse_missing

    refuse_missing(run, images)
    from balanced_mixup.cli import show
    from balanced_mixup.evaluation.predict import predict as predict_images

    found = predict_images(
        run,
        images,
        out=out,
        overwrite=overwrite,
        flip=flip,
        calibrate=calibrate,
        prior=prior,
        max_megapixels=max_megapixels,
        exclude_bad=exclude_bad,
    )
    show.print_predictions(found, out)
