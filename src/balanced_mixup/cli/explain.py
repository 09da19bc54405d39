"""`bmixup explain`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def explain(
    run: Path,
    images: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    out: Path,
    target: str | None = None,
    top: int | None = None,
    calibrate: bool = True,
) -> None:
    """Show where in images the model finds its evidence for a class, with Grad-CAM.

    Writes a PNG for each image (what the model sees, and the same with the evidence in colour), and explanations.csv with a row
    for each image and class shown: prediction, probability, target, fraction of the evidence that is for the target, picture.

    **What it shows.** How strongly each place of the model's last feature map, often only 4 x 4 to 8 x 8 places, raises the
    score of the class; bright is strongest in this image. Brightness cannot be compared between images. A picture without
    colour means that there is no evidence for the class.

    **What it does not show.** It is no proof that the model is right or looks at the right thing, and no outline of a lesion.
    It shows where, not what: the same place can be evidence for several classes. Maps can look convincing for a model that
    has learnt nothing. Use it to find what is suspicious, such as evidence on a ruler, a hair or the border, then test it.

    Selvaraju et al., Grad-CAM, ICCV 2017; Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018.

    Parameters
    ----------
    run
        Folder of a finished run.
    images
        Image files, or folders with images in them.
    out
        A new or empty folder for the pictures and the table.
    target
        Class whose evidence is shown; of each image the predicted one if not given.
    top
        Show this many of the most likely classes side by side; 1 if not given.
    calibrate
        Correct the probabilities by the temperature fitted on validation images (keeps the predicted class).
    """
    from rich.console import Console
    from rich.markup import escape

    from balanced_mixup.report.explanations import TABLE, explain_files

    table = explain_files(run, images, out, target=target, top=top, calibrate=calibrate)
    console = Console()
    side = table["map_side"].iloc[0]
    pictures = table["picture"].nunique()
    counted = "1 picture" if pictures == 1 else f"{pictures:,} pictures"
    console.print(f"{counted} and {TABLE} are in {escape(str(out))}", soft_wrap=True, highlight=False)
    console.print(f"The model's map has {side} x {side} places: finer detail in a picture is interpolated.", highlight=False)
    if nothing := int((table["positive_share"] == 0).sum()):
        console.print(f"{nothing:,} of {len(table):,} maps have no colour: no evidence for the class.", highlight=False)
