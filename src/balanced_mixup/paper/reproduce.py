"""Reproduction of the paper's tables: its settings on its data, next to the published numbers."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.grids import Grid, meaning, over, score_cell
from balanced_mixup.benchmark.plan import Plan, make_plan
from balanced_mixup.benchmark.results import EXTERNAL
from balanced_mixup.benchmark.summary import MethodSummary
from balanced_mixup.data.sources.prepared import DATASET
from balanced_mixup.errors import UsageError
from balanced_mixup.metrics import METRICS
from balanced_mixup.paper.published import BACKBONE_TITLES, SOURCES, published_table
from balanced_mixup.settings_file import load_yaml

log = logging.getLogger("balanced_mixup")

ALPHAS = (0.1, 0.2, 0.3)
METHODS: tuple[str | dict[str, Any], ...] = (
    "class",
    "instance",
    "sqrt",
    "focal",
    "cb-loss",
    {"method": "balanced-mixup", "alpha": list(ALPHAS)},
)


@dataclass(frozen=True)
class PaperTable:
    """The definition of a table of the paper.

    Args:
        number: In the paper.
        data: Card of the data set.
        folds: Number of folds; None where the data have a test split.
        metrics: Its columns.
        external: Card of external data that are scored, too.
    """

    number: int
    data: str
    folds: int | None
    metrics: tuple[str, ...]
    external: str | None = None


TABLES: Mapping[str, PaperTable] = {
    "table1": PaperTable(1, "eyepacs", None, ("quadratic_kappa", "mcc", "kendall_tau")),
    "table2": PaperTable(2, "eyepacs", None, ("quadratic_kappa",), external="messidor2"),
    "table3": PaperTable(3, "hyperkvasir", 5, ("mcc", "balanced_accuracy", "macro_f1")),
}


@dataclass(frozen=True)
class Quick:
    """The same protocol at a small scale, on any prepared data, for machines without a GPU.

    Args:
        images: Approximate number of images, stratified by class.
        size: Side in pixels.
        epochs: Passes over them, in small batches, as after few steps a network only predicts the largest class.
        backbone: Of timm; the ImageNet weights of the default are installed with this package.
    """

    images: int = 1000
    size: int = 64
    epochs: int = 6
    backbone: str = "tf_efficientnet_lite0"


def paper_plan(table: PaperTable, data: Path, quick: Quick | None, protocol: Literal["paper", "honest"]) -> Plan:
    """Return the plan of a table.

    Args:
        table: The table.
        data: The prepared data set, or a folder of several, named by their cards.
        quick: Small scale, on any data set.
        protocol: As published, or honest.

    Raises:
        UsageError: The data do not exist, or are not those of the table.
    """
    found = find_data(data, None if quick else table.data)
    entry: dict[str, Any] = {"data": str(found), "scheme": "given" if table.folds is None and quick is None else "folds"}
    if table.external is not None and quick is None:
        entry["external"] = {table.external: {"data": str(find_data(data, table.external))}}
    if quick is None:
        settings: dict[str, Any] = {"recipe": "paper"}
        backbones = list(BACKBONE_TITLES)
    else:
        entry["images_at_most"] = quick.images
        settings = {"size": quick.size, "epochs": quick.epochs, "batch_size": 16}
        backbones = [quick.backbone]
    return make_plan(
        {
            "data": {_card_of(found): entry},
            "methods": list(METHODS),
            "backbones": backbones,
            "protocol": protocol,
            "folds": table.folds or 5,
            "settings": settings,
            "metrics": list(table.metrics),
        }
    )


def find_data(folder: Path, card: str | None) -> Path:
    """Return the prepared data set in `folder`, or in a folder of its card's name in it. UsageError if there is none."""
    candidates = [folder] if card is None else [folder, folder / card]
    for candidate in candidates:
        if (candidate / DATASET).is_file() and card in (None, _card_of(candidate)):
            return candidate.resolve()
    if card is None:
        raise UsageError(f"Expected --data to be a folder made by `bmixup prepare`, but {str(folder)!r} has no {DATASET}.")
    raise UsageError(
        f"Expected the prepared data set {card} in {str(folder)!r} or in its folder {card!r}, but it is not there. Make it "
        f"with `bmixup prepare {card} --root RAW --out {folder / card}`; `--quick` accepts any prepared data set."
    )


def _card_of(prepared: Path) -> str:
    try:
        return str(load_yaml(prepared / DATASET)["name"])
    except (UsageError, KeyError) as error:
        raise UsageError(f"Expected {str(prepared / DATASET)!r} to describe a prepared data set, but: {error!r}.") from None


def with_published(table: PaperTable, entries: Sequence[MethodSummary]) -> list[Grid]:
    """Return the table with our scores next to the published ones, in per cent, one for each data set."""
    return [
        _grid(table, data, [entry for entry in entries if entry.data == data])
        for data in dict.fromkeys(entry.data for entry in entries)
    ]


def _grid(table: PaperTable, data: str, entries: Sequence[MethodSummary]) -> Grid:
    published = published_table(table.number)
    card = data.split(EXTERNAL)[-1]
    same = published[(published["data"] == card) & published["backbone"].isin({entry.backbone for entry in entries})]
    comparable = not same.empty
    # On other data the published numbers of the first backbone are shown for orientation.
    shown = same if comparable else published[published["backbone"] == next(iter(BACKBONE_TITLES))]
    backbones = list(dict.fromkeys(entry.backbone for entry in entries))
    header, columns = ["method"], []
    for backbone in backbones:
        for metric in table.metrics:
            name = METRICS[metric].label + (f", {BACKBONE_TITLES.get(backbone, backbone)}" if len(backbones) > 1 else "")
            header += [f"{name}: ours", "published", *(["difference"] if comparable else [])]
            columns.append((backbone, metric))
    rows = []
    for method in dict.fromkeys(entry.method for entry in entries):
        cells = [method]
        for backbone, metric in columns:
            entry = next((e for e in entries if (e.method, e.backbone, e.metric) == (method, backbone, metric)), None)
            theirs = _published_value(shown, method, backbone if comparable else None, metric)
            cells += _cells(entry, theirs, comparable)
        rows.append(tuple(cells))
    ours = meaning(entries)
    if entries[0].in_folds:  # as the published ones
        ours = f"Median over {entries[0].divisions} folds [lowest, highest]"
    note = f"Per cent. Ours: {ours}. Published: {SOURCES[table.number]}."
    if not comparable:
        note += " Data, size and backbone differ from the paper's: the two cannot be compared."
    return Grid(f"Table {table.number} of the paper, on {data}", tuple(header), tuple(rows), note)


def _published_value(published: pd.DataFrame, method: str, backbone: str | None, metric: str) -> float:
    """Return the published number for one of our labels, NaN where there is none."""
    name, _, alpha = method.partition(" alpha=")
    rows = published[(published["method"] == name) & (published["metric"] == metric)]
    if alpha:
        rows = rows[rows["alpha"] == float(alpha)]
    if backbone is not None:
        rows = rows[rows["backbone"] == backbone]
    return float(rows["value"].iloc[0]) if len(rows) else np.nan


def _cells(entry: MethodSummary | None, published: float, comparable: bool) -> list[str]:
    theirs = "–" if np.isnan(published) else f"{100 * published:.1f}"
    if entry is None or np.isnan(entry.mean.mean):
        return ["–", theirs, *(["–"] if comparable else [])]
    ours = entry.median if entry.in_folds else entry.mean.mean
    difference = "–" if np.isnan(published) else f"{100 * (ours - published):+.1f}"
    return [_spread(entry) if entry.in_folds else score_cell(entry), theirs, *([difference] if comparable else [])]


def _spread(entry: MethodSummary) -> str:
    """Return "61.2 [58.0, 64.9]": the median of the folds, the lowest and the highest."""
    ends = "" if entry.folds == 1 else f" [{100 * entry.lowest:.1f}, {100 * entry.highest:.1f}]"
    return f"{100 * entry.median:.1f}{ends}{over(entry, entry.folds)}"
