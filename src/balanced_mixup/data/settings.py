"""What a user says about a data set; the same keys as command-line flags, in YAML and as Python keywords."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

CacheKind = Literal["none", "disk", "ram", "device"]


def as_text(value: object) -> object:
    """Let YAML's and Python's numbers and paths stand for their text: a class may be called 0."""
    return str(value) if isinstance(value, int | float | Path) and not isinstance(value, bool) else value


def _texts(value: object) -> object:
    """Do the same for the keys and values of a mapping."""
    return {as_text(key): as_text(name) for key, name in value.items()} if isinstance(value, dict) else value


def _split_commas(value: object) -> object:
    """Let "mel,nv,bkl" stand for three names, on the command line and in YAML."""
    value = [as_text(part) for part in value] if isinstance(value, list | tuple) else as_text(value)
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
        return tuple(part.strip() for part in value[0].split(","))
    return value


class DataSettings(BaseModel):
    """Where images and labels are, and what the columns of the table mean."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: Annotated[str, BeforeValidator(as_text)] = Field(
        "",
        description="A CSV with one row an image, a folder of class folders, a folder that `bmixup prepare` made, a "
        "MedMNIST npz, or the name of a built-in source (`bmixup list sources`).",
    )
    images: Path | None = Field(
        None, description="Folder that the paths in the CSV start from; the CSV's own folder if not given."
    )
    image_column: str = Field("image", description="Column of the CSV with the path of the image.")
    label_column: str = Field("label", description="Column of the CSV with the class: a number or a name.")
    group_column: str | None = Field(
        None, description="Column that says which images belong together (a patient, a lesion); a group is never split."
    )
    split_column: str | None = Field(None, description="Column that says train, val or test, where the split is given.")
    split_file: Path | None = Field(
        None, description="Table of image and split (train, val, test or unused), such as a fold; goes over any other split."
    )
    ignore_groups: bool = Field(
        False, description="Treat images of one group as if they had nothing in common, as much of the literature does."
    )
    classes: Annotated[tuple[str, ...] | None, BeforeValidator(_split_commas)] = Field(
        None, description="All classes in their order, as a,b,c; sorted labels if not given (numbers by value)."
    )
    label_map: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(
        default_factory=dict, description="Other names for labels, as --label-map.OLD NEW (in YAML a mapping old: new)."
    )
    ordinal: bool = Field(False, description="The classes are grades in their order (0 < 1 < 2 ...).")
    exclude_bad: bool = Field(
        False,
        description="Leave out the rows that have a problem and list them in the run folder, instead of stopping.",
    )
