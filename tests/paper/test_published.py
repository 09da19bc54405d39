"""The published figures against the paper's pages, its prose, and what is known of the authors' logs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from balanced_mixup.errors import UsageError
from balanced_mixup.methods import METHODS
from balanced_mixup.metrics import METRICS
from balanced_mixup.paper.published import BACKBONE_TITLES, SOURCES, published_table, published_validation

MOBILENET, BIT = BACKBONE_TITLES
PAPER = Path(__file__).resolve().parents[3] / "shared" / "paper"


def per_cent(table, method, backbone, metric, alpha=None, data=None):
    """Return the one number of a table as the paper prints it."""
    rows = table[(table["method"] == method) & (table["backbone"] == backbone) & (table["metric"] == metric)]
    rows = rows[rows["alpha"].isna() if alpha is None else rows["alpha"] == alpha]
    (value,) = (rows if data is None else rows[rows["data"] == data])["value"]
    return round(100 * value, 2)


@pytest.mark.parametrize(
    ("number", "totals"),
    [
        (
            1,
            {
                (MOBILENET, "quadratic_kappa"): 626.46,
                (MOBILENET, "mcc"): 478.89,
                (MOBILENET, "kendall_tau"): 575.45,
                (BIT, "quadratic_kappa"): 634.67,
                (BIT, "mcc"): 487.76,
                (BIT, "kendall_tau"): 583.05,
            },
        ),
        (
            3,
            {
                (MOBILENET, "mcc"): 718.31,
                (MOBILENET, "balanced_accuracy"): 495.69,
                (MOBILENET, "macro_f1"): 494.00,
                (BIT, "mcc"): 722.94,
                (BIT, "balanced_accuracy"): 497.47,
                (BIT, "macro_f1"): 498.28,
            },
        ),
    ],
)
def test_columns_add_up_to_those_of_the_paper(number, totals):
    table = published_table(number)
    found = (100 * table.groupby(["backbone", "metric"])["value"].sum()).to_dict()
    assert found == pytest.approx(totals, abs=1e-6)
    assert (table.groupby(["backbone", "metric"])["value"].count() == 8).all()


def test_rows_by_hand():
    dr, endoscopy = published_table(1), published_table(3)
    assert per_cent(dr, "class", MOBILENET, "quadratic_kappa") == 74.58
    assert per_cent(dr, "focal", BIT, "kendall_tau") == 73.37
    assert per_cent(dr, "balanced-mixup", BIT, "mcc", 0.2) == 63.78
    assert per_cent(endoscopy, "cb-loss", MOBILENET, "macro_f1") == 54.87
    assert per_cent(endoscopy, "sqrt", BIT, "balanced_accuracy") == 62.84
    assert per_cent(endoscopy, "balanced-mixup", MOBILENET, "macro_f1", 0.3) == 64.07


def test_table_2():
    table = published_table(2)
    assert len(table) == 10
    kappa = {data: dict(zip(rows["method"], 100 * rows["value"], strict=True)) for data, rows in table.groupby("data")}
    cited = {"qwkl": 74.00, "dr-graduate": 74.00, "cost-sensitive": 78.71, "iterative-augmentation": 80.00}
    assert kappa["eyepacs"] == pytest.approx(cited | {"balanced-mixup": 80.78})
    external = {"qwkl": np.nan, "dr-graduate": 71.00, "cost-sensitive": 79.79, "iterative-augmentation": np.nan}
    assert kappa["messidor2"] == pytest.approx(external | {"balanced-mixup": 85.14}, nan_ok=True)
    # The same model as in Table 1.
    assert per_cent(table, "balanced-mixup", BIT, "quadratic_kappa", 0.2, "eyepacs") == per_cent(
        published_table(1), "balanced-mixup", BIT, "quadratic_kappa", 0.2
    )
    assert table.loc[table["method"].isin(cited), ["alpha", "backbone", "backbone_title"]].isna().all(axis=None)


def test_every_row_stands_on_the_pages_of_the_paper():
    if not PAPER.is_dir():
        pytest.skip("needs the text of the paper in ../shared/paper, which is not part of the project")
    parts = re.split(r"^Table \d\.", (PAPER / "paper.txt").read_text(encoding="utf-8"), flags=re.M)
    row = re.compile(r"^([A-Z][\w :=$\\.-]+?)(?: \[\d+\])?\t((?:\d\d\.\d\d\t?){6})$", flags=re.M)
    printed = {
        (number, re.sub(r"\$\\alpha = (.*)\$", r"α = \1", title)): [float(value) for value in values.split()]
        for number, part in enumerate(parts)
        for title, values in row.findall(part)
    }
    assert len(printed) == 16
    for number in (1, 3):
        table = published_table(number)
        for title, rows in table.groupby("title"):
            assert (100 * rows["value"]).tolist() == pytest.approx(printed[number, title])


def test_what_the_prose_says_of_the_tables():
    dr, endoscopy = published_table(1), published_table(3)

    def best(table, backbone, metric, alphas):
        """Return the best of the other methods, and Balanced-MixUp with each of `alphas`."""
        names = [name for name in METHODS if name in set(table["method"]) and name != "balanced-mixup"]
        others = max(per_cent(table, name, backbone, metric) for name in names)
        return others, *(per_cent(table, "balanced-mixup", backbone, metric, alpha) for alpha in alphas)

    for metric in ("quadratic_kappa", "mcc", "kendall_tau"):
        # "with alpha = 0.1 outperforms all other approaches ... setting alpha = 0.2 still outperforms all other techniques"
        others, low, middle = best(dr, MOBILENET, metric, (0.1, 0.2))
        assert low > middle > others
        # "alpha = 0.2 is now the dominant approach ... the second best method is alpha = 0.3 ... all three are better"
        others, low, middle, high = best(dr, BIT, metric, (0.1, 0.2, 0.3))
        assert middle > high > low > others
    # "the MobileNet model performs better with less regularization, and increasing alpha slowly deteriorates the MCC"
    others, *rising = best(endoscopy, MOBILENET, "mcc", (0.1, 0.2, 0.3))
    assert rising == sorted(rising, reverse=True)
    # "the MobileNet model with alpha = 0.1 is greater than in any of the considered methods and architectures, excluding ..."
    assert rising[0] > max(others, best(endoscopy, BIT, "mcc", ())[0])


@pytest.mark.parametrize("number", SOURCES)
def test_names_are_those_of_the_package(number):
    table = published_table(number)
    known = METHODS if number != 2 else [*METHODS, "qwkl", "dr-graduate", "cost-sensitive", "iterative-augmentation"]
    assert set(table["method"]) <= set(known)
    assert set(table["metric"]) <= set(METRICS)
    assert set(table["backbone"].dropna()) <= set(BACKBONE_TITLES)
    assert set(table["data"]) <= {"eyepacs", "messidor2", "hyperkvasir"}
    assert table["value"].dropna().between(0, 1).all()
    assert not table.duplicated(["method", "alpha", "backbone", "data", "metric"]).any()
    assert (table["alpha"].notna() == (table["method"] == "balanced-mixup")).all()
    own = table[table["method"].isin(METHODS)]
    assert all(title.startswith(METHODS[method].title) for method, title in zip(own["method"], own["title"], strict=True))


def test_an_unknown_table():
    with pytest.raises(UsageError, match="Expected `number` to be a table of the paper, 1, 2 or 3, but got 4"):
        published_table(4)


def logged(metric, method, backbone, alpha=None):
    runs = published_validation()
    runs = runs[(runs["data"] == "hyperkvasir") & (runs["method"] == method) & (runs["backbone"] == backbone)]
    return 100 * runs.loc[runs["alpha"].isna() if alpha is None else runs["alpha"] == alpha, metric]


def test_logs_give_the_known_means():
    # MobileNet V2 has four folds, BiT five.
    assert round(logged("mcc", "instance", MOBILENET).mean(), 2) == 90.64
    assert round(logged("mcc", "balanced-mixup", MOBILENET, 0.2).mean(), 2) == 90.58
    assert round(logged("mcc", "instance", BIT).mean(), 2) == 90.90
    assert round(logged("mcc", "balanced-mixup", BIT, 0.2).mean(), 2) == 91.07
    assert [len(logged("mcc", "instance", backbone)) for backbone in (MOBILENET, BIT)] == [4, 5]


def test_logs_are_near_the_table():
    # Validation without test-time augmentation against Table 3: the same folds, so near each other where all five are there.
    table = published_table(3)
    for backbone in BACKBONE_TITLES:
        for method, alpha in (("cb-loss", None), ("focal", None), ("balanced-mixup", 0.1), ("balanced-mixup", 0.2)):
            values = logged("mcc", method, backbone, alpha)
            assert len(values) < 5 or values.median() == pytest.approx(per_cent(table, method, backbone, "mcc", alpha), abs=0.6)


def test_logs_are_whole_and_what_is_missing_stays_missing():
    runs = published_validation()
    assert len(runs) == 114
    assert runs["run"].is_unique
    assert runs["data"].value_counts().to_dict() == {"hyperkvasir": 94, "eyepacs": 20}
    assert runs["balanced_accuracy"].isna().sum() == 41
    assert runs[["quadratic_kappa", "macro_auc", "mcc", "best_epoch", "epochs", "seconds"]].notna().all(axis=None)
    assert (runs["fold"].isna() == (runs["data"] == "eyepacs")).all()
    folds = runs.groupby(["backbone", "method", "alpha"], dropna=False)["fold"].count()
    assert set(folds[BIT]) == {5}
    assert (folds[MOBILENET] == 4).sum() == 6
    assert set(runs["method"]) == {"class", "instance", "sqrt", "focal", "cb-loss", "mixup", "balanced-mixup"}
    assert runs["alpha"].notna().equals(runs["method"].isin(["mixup", "balanced-mixup"]))
    assert (runs["best_epoch"] <= runs["epochs"]).all()


def test_logs_by_hand():
    runs = published_validation().set_index("run")
    # Its folder is called 1e-3, its settings say 0.3.
    row = runs.loc["eyepacs/mxp_1e-3/mobilenet"]
    assert (row["method"], row["alpha"], row["backbone"], row["mcc"]) == (
        "balanced-mixup",
        0.3,
        MOBILENET,
        pytest.approx(0.6129),
    )
    row = runs.loc["endo/F1/mxp4e-1_baseline/bit_rexnet50"]
    assert (row["data"], row["fold"], row["method"], row["alpha"]) == ("hyperkvasir", 1, "mixup", 0.4)
    assert (row["best_epoch"], row["epochs"], row["seconds"]) == (18, 30, 3600 + 43 * 60 + 26.22)


def test_logs_are_those_of_the_authors():
    if not PAPER.is_dir():
        pytest.skip("needs the logged scores in ../shared/paper, which are not part of the project")
    raw = pd.read_csv(PAPER / "published_val_metrics.csv", keep_default_na=False)
    folder = [
        "/".join(filter(None, part)) for part in zip(raw["dataset"], raw["fold"], raw["method"], raw["arch"], strict=True)
    ]
    runs = published_validation()
    assert runs["run"].tolist() == folder
    for name, column in (("quadratic_kappa", "kappa"), ("macro_auc", "mauc"), ("mcc", "mcc"), ("balanced_accuracy", "bacc")):
        expected = pd.to_numeric(raw[f"best_{column}"])
        assert (100 * runs[name]).to_numpy() == pytest.approx(expected.to_numpy(), nan_ok=True)
    assert runs["best_epoch"].tolist() == raw["best_epoch"].tolist()
    assert runs["epochs"].tolist() == raw["epochs_logged"].tolist()
