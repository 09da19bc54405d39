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

    Writes a PNG for each image (the model's input, and the same with a Grad-CAM overlay), and explanations.csv with a row for
    each image and class shown: prediction, probability, target, fraction of positive evidence, picture.

    **What it shows.** How strongly each position of the last feature map, often only 4 x 4 to 8 x 8, raises the score of the
    class; bright is strongest in this image. Brightness cannot be compared between images. A picture without colour means that
    there is no evidence for the class.

    **What it does not show.** It does not prove that the model is right or looks at the right thing, and it does not outline a
    lesion. It shows where, not what: the same region can be evidence for several classes. Maps can look convincing for a model
    that has learnt nothing. Use them to find suspicious evidence, such as on a ruler, a hair or the border, then test it.

    Selvaraju et al., Grad-CAM, ICCV 2017; Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018.

    Parameters
    ----------
    run
        Folder of a finished run.
    images
        Image files, or folders with images.
    out
        A new or empty folder for the pictures and the table.
    target
        Class whose evidence is shown; the predicted class of each image if not given.
    top
        Number of most likely classes to show side by side; 1 if not given.
    calibrate
        Apply the temperature fitted on validation images (keeps the predicted class).
    """
    from balanced_mixup.cli.refuse import refuse_missing

    refuse_missing(run, images)
    from rich.markup import escape

    from balanced_mixup.cli.console import Console
    from balanced_mixup.report.explanations import TABLE
    from balanced_mixup.report.explanations import explain as explain_images

    table = explain_images(run, images, out, target=target, top=top, calibrate=calibrate)
    console = Console()
    side = table["map_side"].iloc[0]
    pictures = table["picture"].nunique()
    counted = "1 picture" if pictures == 1 else f"{pictures:,} pictures"
    console.print(f"{counted} and {TABLE} are in {escape(str(out))}", soft_wrap=True, highlight=False)
    console.print(f"The model's feature map is {side} x {side}: finer detail in a picture is interpolated.", highlight=False)
    if nothing := int((table["positive_share"] == 0).sum()):
        console.print(f"{nothing:,} of {len(table):,} maps have no colour: no evidence for the class.", highlight=False)
