"""Cards of the fundus photographs with grades of diabetic retinopathy: EyePACS, Messidor-2, APTOS 2019."""

from collections.abc import Sequence

from balanced_mixup.datasets.card import Card, Cells, LabelFile, key

GRADES = {
    "0": "no retinopathy",
    "1": "mild",
    "2": "moderate",
    "3": "severe",
    "4": "proliferative",
}


def _counts(numbers: Sequence[int]) -> dict[str, int]:
    return dict(zip(GRADES, numbers, strict=True))


def _patient(cells: Cells) -> str:
    return key(cells["image"]).partition("_")[0]


def _adjudicated(cells: Cells) -> str:
    return cells["diagnosis"] if cells["adjudicated_gradable"] == "1" else ""


EYEPACS = Card(
    name="eyepacs",
    title="EyePACS (Kaggle Diabetic Retinopathy Detection)",
    task="diabetic retinopathy, grade 0 to 4, from fundus photographs",
    classes=GRADES,
    ordinal=True,
    counts={"train": _counts((25810, 2443, 5292, 873, 708)), "test": _counts((39533, 3762, 7861, 1214, 1206))},
    url="https://www.kaggle.com/c/diabetic-retinopathy-detection",
    licence="rules of the Kaggle competition: research use, not to be passed on",
    layout="trainLabels.csv with train/*.jpeg, retinopathy_solution.csv with test/*.jpeg (either pair is enough)",
    groups="patient: both eyes of one person, who is in one split only",
    citation="EyePACS and California Healthcare Foundation: Diabetic Retinopathy Detection. Kaggle, 2015.",
    label_files=(
        LabelFile(("trainLabels.csv", "eyepacs_trainLabels.csv"), "image", "level", "train", _patient),
        LabelFile(
            ("retinopathy_solution.csv", "eyepacs_retinopathy_solution.csv"),
            "image",
            "level",
            "test",
            _patient,
            keep=("Usage",),
        ),
    ),
    fundus=True,
)

MESSIDOR2 = Card(
    name="messidor2",
    title="Messidor-2 with adjudicated grades",
    task="diabetic retinopathy, grade 0 to 4, from fundus photographs; an external test for EyePACS",
    classes=GRADES,
    ordinal=True,
    counts={"all": _counts((1017, 270, 347, 75, 35))},
    url="https://www.adcis.net/en/third-party/messidor2/ (photographs), "
    "https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades (grades)",
    licence="photographs: research and education, on request, not to be passed on",
    layout="messidor_data.csv, IMAGES/*",
    groups="none: it has both eyes of a person, but the label file does not link them",
    citation="Decencière et al.: Feedback on a publicly distributed image database: the Messidor database. Image Analysis & "
    "Stereology 33, 2014. Krause et al.: Grader variability and the importance of reference standards. Ophthalmology 125, "
    "2018.",
    label_files=(
        LabelFile(
            ("messidor_data.csv", "messidor2_messidor_data.csv"),
            "id_code",
            _adjudicated,
            needs=("diagnosis", "adjudicated_gradable"),
            keep=("adjudicated_dme", "adjudicated_gradable"),
        ),
    ),
    fundus=True,
)

APTOS2019 = Card(
    name="aptos2019",
    title="APTOS 2019 Blindness Detection",
    task="diabetic retinopathy, grade 0 to 4, from fundus photographs",
    classes=GRADES,
    ordinal=True,
    counts={"all": _counts((1805, 370, 999, 193, 295))},
    url="https://www.kaggle.com/c/aptos2019-blindness-detection",
    licence="rules of the Kaggle competition: research use, not to be passed on",
    layout="train.csv, train_images/*.png (test_images is skipped: its labels are not published)",
    groups="none: patients are not published",
    citation="Asia Pacific Tele-Ophthalmology Society: APTOS 2019 Blindness Detection. Kaggle, 2019.",
    label_files=(LabelFile(("train.csv", "aptos2019_train.csv"), "id_code", "diagnosis"),),
    skipped_folders=("test_images",),
    fundus=True,
)
