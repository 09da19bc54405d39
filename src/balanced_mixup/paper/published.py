"""What the paper published: Tables 1 to 3, and the validation scores that its authors logged for 114 runs.

They are facts to compare with. The numbers stand in `published/*.csv` in per cent, digit by digit as printed, under a line
that names their source; the functions here give them as our metrics do, from 0 to 1. Names are those of this package: methods
as in `methods.METHODS`, metrics as in `metrics.METRICS`, backbones as in timm.
"""

from importlib.resources import files

import pandas as pd

from balanced_mixup.errors import UsageError

SOURCES = {
    1: "Galdran et al., MICCAI 2021, Table 1: EyePACS test set",
    2: "Galdran et al., MICCAI 2021, Table 2: trained on EyePACS, Messidor-2 without retraining",
    3: "Galdran et al., MICCAI 2021, Table 3: HyperKvasir, median of a stratified 5-fold cross-validation",
}
VALIDATION_SOURCE = "validation scores logged by the authors (github.com/agaldran/balanced_mixup, experiments, commit 20ac592)"

BACKBONE_TITLES = {
    "mobilenetv2_100": "MobileNet V2",
    "resnetv2_50x1_bit.goog_in21k": "ResNeXt-50",  # so the paper calls it; what its authors trained is BiT-M-R50x1
}

_ROW = ["method", "alpha", "title", "backbone", "backbone_title", "data"]
_SCORES = ["quadratic_kappa", "macro_auc", "mcc", "balanced_accuracy"]


def published_table(number: int) -> pd.DataFrame:
    """Return a table of the paper, a row for each number in it, in the paper's order of rows.

    - method: Key of `METHODS`. Table 2 also has four methods that the paper cites: qwkl, dr-graduate, cost-sensitive and
      iterative-augmentation.
    - alpha: Of Balanced-MixUp; NaN for the others.
    - title, backbone_title: As the paper prints them.
    - backbone: timm's name; missing for the cited methods.
    - data: eyepacs, messidor2 or hyperkvasir.
    - metric: Key of `METRICS`.
    - value: From 0 to 1; NaN where the paper has a dash.

    Args:
        number: 1 (EyePACS), 2 (other methods, and Messidor-2) or 3 (HyperKvasir, the median of five folds).

    Raises:
        UsageError: The paper has no such table.
    """
    if number not in SOURCES:
        raise UsageError(f"Expected `number` to be a table of the paper, 1, 2 or 3, but got {number!r}.")
    table = _read(f"table{number}.csv")
    table["backbone_title"] = table["backbone"].map(BACKBONE_TITLES)
    scores = [name for name in table.columns if name not in _ROW]
    numbers = table.melt(_ROW, scores, "metric", "value", ignore_index=False).sort_index(kind="stable", ignore_index=True)
    numbers["value"] /= 100
    return numbers


def published_validation() -> pd.DataFrame:
    """Return what the authors logged at the best epoch of each run, a row per run.

    The best epoch has the highest validation score (quadratic kappa on EyePACS, MCC on HyperKvasir), and these are the scores
    of that epoch on that same validation part: without test-time augmentation, and for HyperKvasir on the fold that is left
    out. So they are no test scores. HyperKvasir with MobileNet V2 lacks fold 5 of six methods.

    - run: Folder of the run in the authors' repository.
    - data: eyepacs or hyperkvasir. fold: 1 to 5 of HyperKvasir; missing for EyePACS.
    - method: Key of `METHODS`; `mixup` was logged but is not in the paper.
    - alpha: Of `mixup` and `balanced-mixup`, from the run's settings; NaN for the others.
    - backbone: timm's name.
    - quadratic_kappa, macro_auc, mcc, balanced_accuracy: From 0 to 1; the kappa says little for HyperKvasir, whose classes
      have no order. NaN where balanced accuracy was not logged (41 of 114 runs). macro-F1 was not among the best scores.
    - best_epoch, epochs: From 1; at most 30.
    - seconds: Duration of the training.
    """
    runs = _read("validation.csv").astype({"fold": "Int64"})
    runs[_SCORES] /= 100
    return runs


def _read(name: str) -> pd.DataFrame:
    with (files(__package__) / "published" / name).open(encoding="utf-8") as file:
        return pd.read_csv(file, comment="#")
