"""The original images of predictions or of a run, read again from their source."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from balanced_mixup.data.manifest import Images
from balanced_mixup.data.sources import load
from balanced_mixup.errors import DataError, UsageError
from balanced_mixup.report.contents import Contents

Pixels8 = npt.NDArray[np.uint8]

_QUALITY = 85


@dataclass(frozen=True)
class Originals:
    """N images.

    Args:
        images: Their source.
        there: (N,), whether the data still contain them.
        digests: (N,), of their content when the run was made; "" if unknown.
    """

    images: Images
    there: tuple[bool, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, run: Contents, names: Sequence[str]) -> "Originals":
        """Find images by name.

        Raises:
            DataError, UsageError: The data are missing, or no longer contain any of them.
        """
        source = load(run.settings).images
        position = {name: row for row, name in enumerate(source.names)}
        if not any(name in position for name in names):
            raise UsageError(f"None of the images is in the data any more; the first was {names[0]!r}.")
        known = (
            {}
            if run.images is None or run.split == "other"
            else dict(zip(run.images["image"], run.images["digest"], strict=True))
        )
        rows = np.array([position.get(name, -1) for name in names], dtype=np.int64)
        return cls(source.subset(rows), tuple((rows >= 0).tolist()), tuple(known.get(name, "") for name in names))

    def read(self, row: int, size: int) -> Pixels8 | None:
        """Return an image, uint8 (size, size, 3); None if it is missing, or has changed since the run was made."""
        if not self.there[row]:
            return None
        try:
            scan = self.images.scan(row, size)
        except DataError:
            return None
        return scan.pixels if self.digests[row] in ("", scan.digest) else None


def jpeg(image: Pixels8) -> bytes:
    """Return an image uint8 (H, W, 3) as a JPEG."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
