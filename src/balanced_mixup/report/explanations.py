"""Explain predictions: a Grad-CAM picture for each image, and a table."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from balanced_mixup.errors import RunError, UsageError, nearest
from balanced_mixup.explain.saliency import COLOURS, evidence, overlay, positive_share, upsampled
from balanced_mixup.extras import require
from balanced_mixup.files import write_atomically
from balanced_mixup.progress import progress_bar
from balanced_mixup.runs.classifier import Classifier
from balanced_mixup.runs.folder_lock import locked
from balanced_mixup.runs.prepared_images import ImageLike, prepare_images
from balanced_mixup.runs.run import Run
from balanced_mixup.table_files import write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE = "explanations.csv"

_UNFINISHED = ".unfinished"  # in `out` while it is being written

_MOST = 10  # classes side by side in one picture
_SIDE = 52.0  # mm, of a picture
_STEM = 100  # maximum length of the stem of a picture's file name


def explain(
    run: Path | str,
    images: ImageLike | Iterable[ImageLike],
    out: Path | str,
    *,
    target: str | None = None,
    top: int | None = None,
    calibrate: bool = True,
) -> pd.DataFrame:
    """Explain the predictions for images, with Grad-CAM.

        table = explain("runs/mine", ["a.jpg", "b.jpg"], "explained", top=3)

    Args:
        run: Folder of a finished run.
        images: As for `predict`: files, folders, images of Pillow, arrays.
        out: A new or empty folder, for a PNG per image (the model's input, and a Grad-CAM overlay) and explanations.csv.
        target: Class whose evidence is shown; the predicted one if not given.
        top: Number of most likely classes to show, instead of a `target`.
        calibrate: Apply the temperature that was fitted on the run's validation split.

    Returns:
        The content of explanations.csv, a row for each image and class shown: image; prediction and its probability, as from
        `predict`; target and its probability; positive_share, the fraction of the evidence that is for the target; map_side,
        the positions per side of the feature map; picture, the name of the PNG.

    Raises:
        UsageError: The run is not finished, cannot be calibrated or has no feature map, there is no such class, `out` is not
            empty, or the extra `explain` is not installed.
        DataError: Images are missing or cannot be read; lists all of them, and nothing is written.
        RunError: The pictures cannot be written.
    """
    require("bmixup explain", "explain", "captum", "matplotlib")
    out, classifier = Path(out), Classifier.load(run)
    card = classifier.card
    _check(card.classes, target, top)
    _check_empty(out)
    correction = Run.open(run).calibration if calibrate else None
    names, pixels, _ = prepare_images(images, card)
    probabilities = classifier.probabilities(pixels)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : top or 1]
    probabilities = probabilities if correction is None else correction.apply(probabilities)
    targets = order if target is None else np.full((len(names), 1), card.classes.index(target))
    rows = np.repeat(np.arange(len(names)), targets.shape[1])
    maps = evidence(classifier, pixels, rows, targets.ravel())
    classes = np.array(card.classes, dtype=object)
    table = pd.DataFrame(
        {
            "image": np.array(names, dtype=object)[rows],
            "prediction": classes[order[rows, 0]],
            "probability": probabilities[rows, order[rows, 0]],
            "target": classes[targets.ravel()],
            "target_probability": probabilities[rows, targets.ravel()],
            "positive_share": positive_share(maps),
            "map_side": maps.shape[1],
            "picture": np.array(_picture_names(names), dtype=object)[rows],
        }
    )
    try:
        with locked(out), progress_bar("Drawing", len(names)) as advance:
            _begin(out)
            for row, (picture, shown) in enumerate(table.groupby("picture", sort=False)):
                image = pixels.gather(np.array([row]))[0].numpy()
                _save(draw(image, upsampled(maps[shown.index], card.size), shown), out / str(picture))
                advance(1)
            write_table(out / TABLE, table)
            (out / _UNFINISHED).unlink()
    except OSError as error:
        raise RunError(f"The explanations could not be written to {str(out)!r}: {error}.") from error
    return table


def _check_empty(out: Path) -> None:
    if (out / _UNFINISHED).is_file():
        return  # all that is there was made by a process that was interrupted
    if out.exists() and (not out.is_dir() or _contents(out)):
        raise UsageError(f"Expected `out` to be a new or empty folder, but {str(out)!r} exists. Choose another `--out`.")


def _begin(out: Path) -> None:
    """Empty the folder of an interrupted process, and mark it until the last file is written."""
    _check_empty(out)
    for path in _contents(out):
        path.unlink()
    (out / _UNFINISHED).touch()


def _contents(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if not path.name.startswith(".")]


def _check(classes: Sequence[str], target: str | None, top: int | None) -> None:
    if target is not None and top is not None:
        raise UsageError("Expected `--target` or `--top`, but got both.")
    if target is not None and target not in classes:
        raise UsageError(
            f"Expected `target` to be a class of the run, {', '.join(classes)}, but got {target!r}.{nearest(target, classes)}"
        )
    most = min(_MOST, len(classes))
    if top is not None and not 1 <= top <= most:
        raise UsageError(f"Expected `top` from 1 to {most}, but got {top}.")


def _picture_names(images: Sequence[str]) -> list[str]:
    """Return a file name for the picture of each image: its own, numbered where images of several folders share it."""
    taken: set[str] = set()
    names = []
    for image in images:
        stem = name = Path(image).stem[:_STEM]
        number = 1
        while name.casefold() in taken:  # some file systems do not distinguish A.png and a.png
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(f"{name}.png")
    return names


def draw(image: npt.NDArray[np.uint8], maps: npt.NDArray[np.float32], shown: pd.DataFrame) -> "Figure":
    """Draw an image (size, size, 3) next to overlays of its maps (M, size, size); `shown` has a row per map."""
    from matplotlib.cm import ScalarMappable

    from balanced_mixup.report.figures.style import figure_style, new_figure

    first, rows = shown.iloc[0], shown.to_dict("records")
    pictures = [(image, f"Predicted: {_with_probability(first['prediction'], first['probability'])}")]
    for found, row in zip(maps, rows, strict=True):
        title = "Evidence for" if found.any() else "No evidence for"
        pictures.append((overlay(image, found), f"{title} {_with_probability(row['target'], row['target_probability'])}"))
    with figure_style():
        figure = new_figure(_SIDE * len(pictures) + 22, _SIDE + 10)
        panels = figure.subplots(1, len(pictures))
        for axes, (picture, title) in zip(panels, pictures, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
            axes.set_title(textwrap.fill(title, 34))  # letters over a picture
        bar = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=panels[-1], ticks=[0, 1])
        bar.ax.set_yticklabels(["none", "strongest"])
    return figure


def _with_probability(name: str, probability: float) -> str:
    """Return "name (87%)", the name shortened."""
    from balanced_mixup.report.figures.style import short_name

    return f"{short_name(name)} ({100 * probability:.0f}%)"


def _save(figure: "Figure", path: Path) -> None:
    from balanced_mixup.report.figures.style import figure_style

    with figure_style():
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", metadata={"Software": None}))
