"""The published results of the paper: Tables 1 to 3, and the validation scores that its authors logged for 114 runs.

The numbers are in `published/*.csv` in per cent, as printed, under a line that names their source; the functions here return
them like our metrics, from 0 to 1. Names are those of this package: methods
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
    "resnetv2_50x1_bit.goog_in21k": "ResNeXt-50",  # the paper's name; its authors trained BiT-M-R50x1
}

_ROW = ["method", "alpha", "title", "backbone", "backbone_title", "data"]
_SCORES = ["quadratic_kappa", "macro_auc", "mcc", "balanced_accuracy"]


def published_table(number: int) -> pd.DataFrame:
    """Return a table of the paper, one row per number, in the paper's order.

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
    """Return the authors' logged scores at the best epoch of each run, one row per run.

    The best epoch has the highest validation score (quadratic kappa on EyePACS, MCC on HyperKvasir), and these are the scores
    of that epoch on the same validation split, without test-time augmentation; for HyperKvasir it is the held-out fold. So they
    are not test scores. HyperKvasir with MobileNet V2 lacks fold 5 of six methods.

    - run: Folder of the run in the authors' repository.
    - data: eyepacs or hyperkvasir. fold: 1 to 5 of HyperKvasir; missing for EyePACS.
    - method: Key of `METHODS`; `mixup` was logged but is not in the paper.
    - alpha: Of `mixup` and `balanced-mixup`, from the run's settings; NaN for the others.
    - backbone: timm's name.
    - quadratic_kappa, macro_auc, mcc, balanced_accuracy: From 0 to 1; the kappa is not meaningful for HyperKvasir, whose
      classes are not ordinal. NaN where balanced accuracy was not logged (41 of 114 runs). Macro-F1 is not included.
    - best_epoch, epochs: From 1; at most 30.
    - seconds: Duration of the training.
    """
    runs = _read("validation.csv").astype({"fold": "Int64"})
    runs[_SCORES] /= 100
    return runs


def _read(name: str) -> pd.DataFrame:
    with (files(__package__) / "published" / name).open(encoding="utf-8") as file:
        return pd.read_csv(file, comment="#")
