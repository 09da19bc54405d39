"""Making the prepared images: cropped, resized, written atomically, by a process a core; what is there is not made again.

Every image becomes a square of `size` x `size` pixels, as in the paper, whose pipeline resizes to 512 x 512 whatever the shape.
Photographs of the retina are cropped to the square about the retina's disc first, so that the disc stays round; other images
that are not square are squeezed, which also is what a training would do to them.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor
from PIL import Image, PngImagePlugin

from balanced_mixup.data.images import load_rgb
from balanced_mixup.data.manifest import Images
from balanced_mixup.datasets.fundus import Box, find_disc
from balanced_mixup.errors import DataError
from balanced_mixup.files import write_atomically

FORMATS = {"jpg": "JPEG", "png": "PNG"}
NO_DISC = "no disc of the retina was found: the whole picture was taken"
_CHUNK = 32  # images that a process takes at a time


@dataclass(frozen=True)
class Look:
    """What prepared images are like: side in pixels, a key of `FORMATS`, and whether they are cropped to the retina's disc."""

    size: int
    format: str
    fundus: bool


class Made(NamedTuple):
    """What became of one image: whether it is there now, whether it was made just now, and what is to be said of it."""

    there: bool
    new: bool = False
    fault: str = ""


def make_all(
    images: Images, targets: Sequence[Path], look: Look, jobs: int | None, progress: Callable[[int], None]
) -> list[Made]:
    """Make the prepared images that are not there yet.

    Args:
        images: N raw images.
        targets: N paths to write to.
        look: What they are to be like.
        jobs: Processes; one a core if None.
        progress: Called with the number of images done since the last call.

    Returns:
        For each image what became of it.

    Raises:
        OSError: An image could not be written.
    """
    chunks = [range(start, min(start + _CHUNK, len(targets))) for start in range(0, len(targets), _CHUNK)]
    processes = min(jobs or cpu_count(), max(len(chunks), 1))
    tasks = (delayed(make_some)(images.part(rows), [targets[row] for row in rows], look) for rows in chunks)
    made: list[Made] = []
    try:
        for some in Parallel(processes, return_as="generator", max_nbytes=None)(tasks):
            made += some
            progress(len(some))
    finally:
        if processes > 1:
            get_reusable_executor().shutdown(wait=True)  # its processes would wait for more work, and keep their memory
    return made


def make_some(images: Images, targets: Sequence[Path], look: Look) -> list[Made]:
    """Make some prepared images; one that is there is complete, as it was renamed when it was."""
    return [_make(images, row, target, look) for row, target in enumerate(targets)]


def _make(images: Images, row: int, target: Path, look: Look) -> Made:
    if target.exists():
        with suppress(OSError):  # one that was damaged since is made again
            return Made(True, fault=_comment(target) if look.fundus else "")
    try:
        image, fault = _fundus(images, row, look.size) if look.fundus else (Image.fromarray(images.read(row, look.size)), "")
    except DataError as error:
        return Made(False, fault=error.problems[0].message)
    write_atomically(target, lambda temporary: _save(image, temporary, look.format, fault))
    return Made(True, True, fault)


def _fundus(images: Images, row: int, size: int) -> tuple[Image.Image, str]:
    """Return a photograph of the retina cropped to its disc and resized; black where the disc reaches beyond the picture."""
    pixels = load_rgb(Path(images.origin or "", images.key(row)), at_least=2 * size)
    disc = find_disc(pixels)
    cropped = Image.fromarray(pixels).crop(disc or _square(*pixels.shape[:2]))
    return cropped.resize((size, size), Image.Resampling.BILINEAR), "" if disc else NO_DISC


def _square(height: int, width: int) -> Box:
    """Return the smallest square about a whole picture."""
    side = max(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return Box(left, top, left + side, top + side)


def _save(image: Image.Image, path: Path, kind: str, comment: str) -> None:
    """Write an image; what is to be said of it goes into its comment, so that a later run can say it again."""
    if kind == "jpg":
        image.save(path, "JPEG", quality=95, subsampling=0, comment=comment.encode())
    else:
        info = PngImagePlugin.PngInfo()
        if comment:
            info.add_text("comment", comment)
        image.save(path, "PNG", pnginfo=info)


def _comment(path: Path) -> str:
    with Image.open(path) as image:
        comment = image.info.get("comment", "")
    return comment.decode() if isinstance(comment, bytes) else str(comment)
