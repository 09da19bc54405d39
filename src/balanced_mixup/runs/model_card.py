"""What prediction needs besides the weights; `model.json` of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from balanced_mixup.errors import UsageError
from balanced_mixup.files import write_text
from balanced_mixup.runs.formats import MODEL_FILE, read_file


class ModelCard(BaseModel):
    """The description of a model.

    size: side of the images in pixels. bit_depth: of 16-bit greyscale, see `Decoding`. mean, std: of each colour channel, for
    images in 0..1. head: see `head_to_dict`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = MODEL_FILE.newest
    backbone: str
    classes: tuple[str, ...]
    ordinal: bool
    size: int
    bit_depth: int | None = None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write the card as JSON."""
        unsaid = {"bit_depth"} if self.bit_depth is None else None  # older versions read the card of an ordinary model
        write_text(path, self.model_dump_json(indent=2, exclude=unsaid) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a card.

        Raises:
            UsageError: It is missing, damaged, or of a newer version of this program.
        """
        content = read_file(path, MODEL_FILE)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UsageError(f"The file {str(path)!r} does not describe a model: {error}") from None
