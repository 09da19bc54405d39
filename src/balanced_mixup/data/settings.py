"""The settings that describe a data set; the same keys are command-line flags, YAML keys and Python keywords."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

CacheKind = Literal["none", "disk", "ram", "device"]

SPLIT_VERSION = 2  # the newest one; see `splits.make_split`


def as_text(value: object) -> object:
    """Turn numbers and paths from YAML and Python into text: a class may be called 0."""
    return str(value) if isinstance(value, int | float | Path) and not isinstance(value, bool) else value


def _texts(value: object) -> object:
    """Apply `as_text` to the keys and values of a mapping."""
    return {as_text(key): as_text(name) for key, name in value.items()} if isinstance(value, dict) else value


def _split_commas(value: object) -> object:
    """Turn "mel,nv,bkl", from the command line or YAML, into three names."""
    value = [as_text(item) for item in value] if isinstance(value, list | tuple) else as_text(value)
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
        return tuple(name.strip() for name in value[0].split(","))
    return value


class DataSettings(BaseModel):
    """Where images and labels are, and what the columns of the table mean."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: Annotated[str, BeforeValidator(as_text)] = Field(
        "",
        description="A table with one row per image (CSV, Excel or Parquet), a folder of class folders, a folder made by "
        "`bmixup prepare`, a MedMNIST npz, or the name of another source (`bmixup list sources`).",
    )
    val_data: Annotated[str | None, BeforeValidator(as_text)] = Field(
        None, description="The validation data, if they are in another table or folder than `data`."
    )
    test_data: Annotated[str | None, BeforeValidator(as_text)] = Field(
        None, description="The test data, if they are in another table or folder than `data`."
    )
    images: Path | None = Field(
        None, description="Folder that the paths in the tables are relative to; each table's own folder if not given."
    )
    image_column: str = Field("image", description="Column of the table with the path of the image.")
    label_column: str = Field("label", description="Column of the table with the class: a number or a name.")
    label_columns: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = Field(
        (), description="Columns of a one-hot table, as A,B,C: the class of an image is the column with a 1."
    )
    multi_label: Literal["first"] | None = Field(
        None,
        description="How to read a label that names several classes (`a, b`): the `first` of them; a problem if not given.",
    )
    one_vs_rest: str | None = Field(
        None,
        description="Class that is told from all others together; a label counts as it if it is among those that it names.",
    )
    group_column: str | None = Field(
        None, description="Column with the group of an image (a patient, a lesion); a group is never divided between splits."
    )
    group_pattern: str | None = Field(
        None,
        description="Regular expression that finds the group in the name of an image, in its first parenthesis: "
        "`([^/]+)_(left|right)` finds 10 in 10_left.png.",
    )
    split_column: str | None = Field(None, description="Column with train, val or test, if the split is given.")
    split_file: Path | None = Field(
        None, description="Table of image and split (train, val, test or unused), such as a fold; overrides any other split."
    )
    ignore_groups: bool = Field(False, description="Ignore groups when splitting, as much of the literature does.")
    classes: Annotated[tuple[str, ...] | None, BeforeValidator(_split_commas)] = Field(
        None, description="All classes in their order, as a,b,c; the sorted labels if not given (numbers by value)."
    )
    label_map: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(
        default_factory=dict, description="New names for labels, as --label-map.OLD NEW (in YAML a mapping old: new)."
    )
    ordinal: bool = Field(False, description="The classes are ordinal, in their order (0 < 1 < 2 ...).")
    bit_depth: int | None = Field(
        None,
        ge=9,
        le=16,
        description="Bits that the values of 16-bit greyscale files (PNG, TIFF) really have, such as 12; 16 if not given, or "
        "those that a TIFF states.",
    )
    max_megapixels: float = Field(
        100, gt=0, description="Limit on the size of an image, and of all images that are decoded at once."
    )
    exclude_bad: bool = Field(
        False, description="Exclude rows that have a problem and list them in the run folder, instead of stopping."
    )
