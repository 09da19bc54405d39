"""The images that a run was made with, read again from where they came from."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from balanced_mixup.data.manifest import Images, ImageSubset
from balanced_mixup.data.sources import load
from balanced_mixup.errors import DataError, UsageError
from balanced_mixup.report.contents import RunContents, require

Pixels8 = npt.NDArray[np.uint8]

_QUALITY = 85


@dataclass(frozen=True)
class Originals:
    """N images in the order of the run's manifest.csv.

    Args:
        images: Where they are read from.
        digests: (N,), of their content when the run was made.
        labels: int64 (N,).
        split: str (N,).
    """

    images: Images
    digests: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    split: npt.NDArray[np.str_]

    @classmethod
    def of(cls, run: RunContents) -> "Originals":
        """Find the images of a run.

        Raises:
            DataError, UsageError: Its data are gone.
        """
        table = require(run.images, "the list of its images (manifest.csv)")
        source = load(run.recipe).images
        position = {name: row for row, name in enumerate(source.names)}
        gone = [name for name in table["image"] if name not in position]
        if gone:
            raise UsageError(f"The data no longer name {len(gone):,} of the run's images; the first is {gone[0]!r}.")
        number = {name: k for k, name in enumerate(run.classes)}
        return cls(
            ImageSubset(source, np.array([position[name] for name in table["image"]], dtype=np.int64)),
            tuple(table["digest"]),
            np.array([number[name] for name in table["label"]], dtype=np.int64),
            table["split"].to_numpy(np.str_),
        )

    def read(self, row: int, size: int) -> Pixels8 | None:
        """Return an image, uint8 (size, size, 3); None where it is gone, or not what it was when the run was made."""
        try:
            scan = self.images.scan(row, size)
        except DataError:
            return None
        return scan.pixels if scan.digest == self.digests[row] else None


def jpeg(image: Pixels8) -> bytes:
    """Return an image uint8 (H, W, 3) as a JPEG."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
