"""The screening: every method trains the head alone on frozen features, in each inner fold of the training part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder
from balanced_mixup.benchmark.engine import run_benchmark
from balanced_mixup.benchmark.plan import BenchmarkPrior, Plan, make_plan
from balanced_mixup.benchmark.results import read_results
from balanced_mixup.benchmark.variants import RESERVED
from balanced_mixup.choose.candidates import PLAIN
from balanced_mixup.choose.record import Screened, method_of
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError
from balanced_mixup.runs.run import Run
from balanced_mixup.training.recipe import Execution, Placement, Recipe

DATA = "data"
FOLDS = 3


def screening_plan(recipe: Recipe, split_file: Path, methods: Sequence[str], metric: str, prior: BenchmarkPrior) -> Plan:
    """Return the plan of a benchmark of `methods` on frozen features, over inner folds of the images of a split file."""
    settings = recipe.model_dump(mode="json", exclude={"method"})
    shared = {
        name: value
        for name, value in settings.items()
        if name in Recipe.model_fields and name not in RESERVED and name not in Execution.model_fields
    }
    fields = DataSettings.model_fields
    data = {name: settings[name] for name, field in fields.items() if settings[name] != field.default}
    entry = {**data, "split_file": str(split_file), "scheme": "folds", "prior": prior}
    return make_plan(
        {
            "data": {DATA: entry},
            "methods": list(methods),
            "backbones": [recipe.backbone],
            "folds": FOLDS,
            "seeds": [recipe.seed],
            "fold_seed": recipe.seed,
            "settings": {**shared, "train": "head"},
            "metrics": [metric],
            "baseline": PLAIN,
        }
    )


def screen(plan: Plan, folder: Path, recipe: Recipe, deadline: float) -> None:
    """Execute the runs of a screening until a deadline (by `time.monotonic`)."""
    placement = recipe.model_dump(include=set(Placement.model_fields), exclude_unset=True)
    run_benchmark(plan, folder, placement, deadline=deadline)


def screened(folder: Path, metric: str) -> tuple[Screened, ...]:
    """Return the rows of a screening, the best first: the mean over the folds in which all have a score, if there are some.

    Raises:
        UsageError: No run is finished.
    """
    scores = read_results(folder).scores.dropna(subset=[metric])
    if scores.empty:
        raise UsageError("No method could be screened: the reasons are beside the runs in the screening's folder.")
    seconds = _seconds(folder)
    table = scores.pivot_table(metric, "method", "fold")
    common = table.dropna(axis="columns")
    table = table if common.empty else common
    means, folds = table.mean(axis="columns"), table.notna().sum(axis="columns")
    rows = [(str(label), float(mean), int(count)) for label, mean, count in zip(table.index, means, folds, strict=True)]
    best_first = sorted(rows, key=lambda row: -row[1])
    return tuple(
        Screened(label, method_of(label), mean, count, seconds.get(method_of(label), 0.0)) for label, mean, count in best_first
    )


def _seconds(folder: Path) -> dict[str, float]:
    """Return the mean seconds of a training of each method."""
    benchmark = BenchmarkFolder(folder)
    found: dict[str, list[float]] = {}
    for run in benchmark.read().runs:
        if benchmark.run(run).cost.is_file():
            found.setdefault(run.method, []).append(Run(benchmark.run(run)).cost.seconds)
    return {method: fmean(seconds) for method, seconds in found.items()}


def settings_of_fold(folder: Path) -> Mapping[str, Any]:
    """Return the settings of plain training on the first inner fold."""
    return next(run.settings for run in BenchmarkFolder(folder).read().runs if run.method == PLAIN)
