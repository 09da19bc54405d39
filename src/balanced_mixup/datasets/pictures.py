"""Writing the prepared images: cropped, resized, written atomically, by one process per core; existing ones are kept.

Every image becomes a square of `size` x `size` pixels, as in the paper, whose pipeline resizes to 512 x 512 whatever the shape.
Photographs of the retina are first cropped to the square about the disc of the retina, so that it stays round; other images
that are not square are squeezed, as training does, too.
"""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from joblib import cpu_count
from PIL import Image, PngImagePlugin

from balanced_mixup.data.images import load_rgb
from balanced_mixup.data.manifest import Images
from balanced_mixup.datasets.fundus import Box, find_disc
from balanced_mixup.errors import DataError
from balanced_mixup.files import write_atomically
from balanced_mixup.workers import map_in_processes

FORMATS = ("jpg", "png")
NO_DISC = "no disc of the retina was found: the whole picture was taken"
_CHUNK = 32  # images per task of a process


@dataclass(frozen=True)
class ImageFormat:
    """The format of prepared images: side in pixels, one of `FORMATS`, and whether they are cropped to the retina's disc."""

    size: int
    format: str
    fundus: bool


class PreparedImage(NamedTuple):
    """The state of one image: whether it exists, whether it was written just now, and a remark on it."""

    exists: bool
    new: bool = False
    remark: str = ""


def write_images(
    images: Images, targets: Sequence[Path], form: ImageFormat, jobs: int | None, progress: Callable[[int], None]
) -> list[PreparedImage]:
    """Write the prepared images that do not exist yet.

    Args:
        images: N raw images.
        targets: N paths to write to.
        form: The format of the prepared images.
        jobs: Processes; one a core if None.
        progress: Called with the number of images done since the last call.

    Returns:
        The state of each image.

    Raises:
        RunError: An image could not be written.
    """
    chunks = [range(start, min(start + _CHUNK, len(targets))) for start in range(0, len(targets), _CHUNK)]
    processes = min(jobs or cpu_count(), max(len(chunks), 1))
    tasks = ((images.subset(rows), [targets[row] for row in rows], form) for rows in chunks)
    written: list[PreparedImage] = []
    with closing(map_in_processes(_write_some, tasks, processes)) as parts:
        for some in parts:
            written += some
            progress(len(some))
    return written


def _write_some(images: Images, targets: Sequence[Path], form: ImageFormat) -> list[PreparedImage]:
    return [_write_one(images, row, target, form) for row, target in enumerate(targets)]


def _write_one(images: Images, row: int, target: Path, form: ImageFormat) -> PreparedImage:
    if target.exists():  # complete, as it is renamed when it is
        with suppress(OSError):  # one that has been damaged is written again
            return PreparedImage(True, remark=_comment(target) if form.fundus else "")
    try:
        image, remark = _fundus(images, row, form.size) if form.fundus else (Image.fromarray(images.read(row, form.size)), "")
    except DataError as error:
        return PreparedImage(False, remark=error.problems[0].message)
    write_atomically(target, lambda temporary: _save(image, temporary, form.format, remark))
    return PreparedImage(True, True, remark)


def _fundus(images: Images, row: int, size: int) -> tuple[Image.Image, str]:
    """Return a photograph of the retina cropped to its disc and resized, black outside of the picture, and a remark."""
    pixels = load_rgb(Path(images.origin or "", images.key(row)), at_least=2 * size)
    disc = find_disc(pixels)
    cropped = Image.fromarray(pixels).crop(disc or _square(*pixels.shape[:2]))
    return cropped.resize((size, size), Image.Resampling.BILINEAR), "" if disc else NO_DISC


def _square(height: int, width: int) -> Box:
    """Return the smallest square about a whole picture."""
    side = max(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return Box(left, top, left + side, top + side)


def _save(image: Image.Image, path: Path, suffix: str, remark: str) -> None:
    """Write an image; the remark becomes its comment, so that a later run can report it again."""
    if suffix == "jpg":
        image.save(path, "JPEG", quality=95, subsampling=0, comment=remark.encode())
    else:
        info = PngImagePlugin.PngInfo()
        if remark:
            info.add_text("comment", remark)
        image.save(path, "PNG", pnginfo=info)


def _comment(path: Path) -> str:
    with Image.open(path) as image:
        comment = image.info.get("comment", "")
    return comment.decode() if isinstance(comment, bytes) else str(comment)
