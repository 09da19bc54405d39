"""What the methods of a benchmark cost: alone, and where trainings share the first stage of plain training."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from balanced_mixup.benchmark.grids import Grid
from balanced_mixup.benchmark.results import ADDED, Results
from balanced_mixup.errors import human_time
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder

NOTE = (
    "Median of the runs that were not interrupted. Sharing: where another run has trained the first stage; methods with a dash "
    "share none. Features of images that another run has computed are in the cache and cost nothing again."
)


def cost_grids(results: Results) -> list[Grid]:
    """Return a table for each data set in which methods share a first stage, with the time of a training of each method."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    scores = results.scores
    if "run" not in scores:  # scores whose runs are not here
        return []
    own = scores[scores["prior"].isna() & (scores["backbone"] != ADDED) & scores["scored"].notna()]
    for data, backbone, method, path in zip(own["data"], own["backbone"], own["method"], own["run"], strict=True):
        run = Run(RunFolder(Path(path)))
        if run.folder.cost.is_file() and not run.cost.resumed:
            found[data, backbone, method].append((run.cost.alone_seconds, run.cost.shared_seconds))
    grids = []
    for data in dict.fromkeys(data for data, _, _ in found):
        backbones = list(dict.fromkeys(backbone for where, backbone, _ in found if where == data))
        methods = [method for method in results.methods if any((data, backbone, method) in found for backbone in backbones)]
        several = len(backbones) > 1
        header = [f"{what}, {backbone}" if several else what for backbone in backbones for what in ("alone", "sharing")]
        cells = {method: [cell for b in backbones for cell in _cells(found.get((data, b, method), []))] for method in methods}
        if any(cell != "–" for row in cells.values() for cell in row[1::2]):
            rows = tuple((method, *row) for method, row in cells.items())
            grids.append(Grid(f"Time of a training on {data}", ("method", *header), rows, NOTE))
    return grids


def _cells(costs: list[tuple[float, float]]) -> tuple[str, str]:
    """Return the time alone, and with sharing, "–" where there is none."""
    if not costs:
        return "–", "–"
    alone, shared = np.median(costs, axis=0).tolist()
    return human_time(alone), "–" if math.isnan(shared) else human_time(shared)
