"""The card of the photographs of skin lesions: HAM10000, with the test set of ISIC 2018 Task 3."""

from balanced_mixup.datasets.card import Card, Cells, LabelFile

_LESIONS = {
    "akiec": ("actinic keratosis or Bowen's disease", 327, 43),
    "bcc": ("basal cell carcinoma", 514, 93),
    "bkl": ("benign keratosis", 1099, 217),
    "df": ("dermatofibroma", 115, 44),
    "mel": ("melanoma", 1113, 171),
    "nv": ("melanocytic naevus", 6705, 909),
    "vasc": ("vascular lesion", 142, 35),
}
_ONE_HOT = tuple(name.upper() for name in _LESIONS)
_DETAILS = ("dx_type", "age", "sex", "localization")


def _marked(cells: Cells) -> str:
    """Return the class whose column of a one-hot row holds 1; "" unless it is exactly one."""
    marked = [name.lower() for name in _ONE_HOT if cells[name] in ("1", "1.0")]
    return marked[0] if len(marked) == 1 else ""


_TEST = ("ISIC2018_Task3_Test_GroundTruth.csv", "ISIC2018_Task3_Test_GroundTruth.tab")

HAM10000 = Card(
    name="ham10000",
    title="HAM10000, with the test set of ISIC 2018 Task 3",
    task="7 kinds of pigmented skin lesions in dermatoscopy",
    classes={name: title for name, (title, _, _) in _LESIONS.items()},
    ordinal=False,
    counts={
        "train": {name: train for name, (_, train, _) in _LESIONS.items()},
        "test": {name: test for name, (_, _, test) in _LESIONS.items()},
    },
    url="https://doi.org/10.7910/DVN/DBW86T (HAM10000), https://challenge.isic-archive.com/data/#2018 (Task 3 test)",
    licence="CC BY-NC 4.0",
    layout="HAM10000_metadata.csv with HAM10000_images_part_1/*.jpg and HAM10000_images_part_2/*.jpg (or "
    "ISIC2018_Task3_Training_Input/*.jpg), ISIC2018_Task3_Test_GroundTruth.csv with ISIC2018_Task3_Test_Input/*.jpg (either "
    "pair will do)",
    groups="lesion: up to six photographs of one; in the challenge's own test file it is not published, there each image "
    "counts by itself",
    citation="Tschandl, Rosendahl, Kittler: The HAM10000 dataset. Scientific Data 5:180161, 2018. Codella et al.: Skin lesion "
    "analysis toward melanoma detection 2018. arXiv:1902.03368.",
    label_files=(
        LabelFile(
            ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab"),
            "image_id",
            "dx",
            "train",
            "lesion_id",
            keep=_DETAILS,
        ),
        LabelFile(_TEST, "image", _marked, "test", "image", needs=_ONE_HOT),
        LabelFile(_TEST, "image_id", "dx", "test", "lesion_id", keep=_DETAILS),
    ),
    skipped_folders=("*segmentation*", "ISIC2018_Task3_Validation_Input"),
)
