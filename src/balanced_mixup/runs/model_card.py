"""What prediction needs besides the weights; `model.json` of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from balanced_mixup.files import write_text
from balanced_mixup.runs.formats import MODEL_FILE, damaged, read_file


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("expected names that differ")
    return names


_Colours = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]


class ModelCard(BaseModel):
    """The description of a model.

    size: side of the images in pixels. bit_depth: of 16-bit greyscale, see `Decoding`. mean, std: of each colour channel, for
    images in 0..1. head: see `head_to_dict`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = MODEL_FILE.newest
    backbone: str
    classes: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_distinct)]
    ordinal: bool
    size: Annotated[int, Field(ge=1, le=4096)]  # a received file must not fill the memory
    bit_depth: Annotated[int, Field(ge=9, le=16)] | None = None
    mean: _Colours
    std: _Colours
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
            raise damaged(path, error, "Restore it from a copy of the run.") from None
