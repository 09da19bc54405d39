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
) -> None:
    """Predict the class of images without labels.

    Writes a CSV with a row an image: image, prediction, and p_CLASS, the probability of each class.

    Parameters
    ----------
    run
        Folder of a finished run.
    images
        Image files, or folders with images in them.
    out
        The CSV to write.
    flip
        Average over each image and its mirror image, as in the paper.
    """
    from balanced_mixup.cli import show
    from balanced_mixup.evaluation.predict import predict_files

    show.print_predictions(predict_files(run, images, out, flip=flip), out)
