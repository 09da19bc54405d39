"""The report of a benchmark: how the methods compare, recall of rare classes, and cost."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.added_rows import added_rows
from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.benchmark.grids import TWO_MODELS, grids, of_two_models
from balanced_mixup.benchmark.results import EXTERNAL, Results, held_out_scores, read_results
from balanced_mixup.benchmark.summary import LEVEL, MethodSummary, summarise
from balanced_mixup.benchmark.tables import metrics_of, notes
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.document import Block, Chart, Collapsible, Document, Listing, Note, Section, Table, Text
from balanced_mixup.report.figures import cost_by_score, forest, ranks, score_by_rarity
from balanced_mixup.report.words import CITATION, remark
from balanced_mixup.runs.evaluation import Evaluation
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import Scores, read_scores
from balanced_mixup.statistics.scoring import FEW_IN_CLASS
from balanced_mixup.words import counted, display_name, listed

_STANDINGS = {
    "equivalent": "Equivalent to it",
    "undecided": "Not enough data to tell from it",
    "worse": "Significantly worse",
}


def benchmark_report(path: Path, folder: Path) -> Document:
    """Return the report of the benchmark in `path`; its links are relative to `folder`.

    Raises:
        UsageError: It is no folder of a benchmark, or has no finished run yet.
    """
    benchmark = BenchmarkFolder(path)
    results = read_results(path)
    metrics = metrics_of(results)
    entries = summarise(results, metrics)
    first = [entry for entry in entries if entry.metric == metrics[entry.data][0]]
    runs = benchmark.read().runs
    trained = [entry for entry in first if entry.method not in (*results.added, *results.corrected)]
    recalls = _recalls(benchmark, runs, results.baseline)
    sections = [
        Section("summary", "Summary", _summary(results, entries, recalls)),
        Section("tables", "Scores and differences", _tables(results, entries)),
        Section("ranks", "Ranks", _ranks(first)),
        Section("rarity", "Rare and frequent classes", _rarity(recalls)),
        Section("cost", "Cost", _cost(benchmark, runs, trained)),
        Section("runs", "Runs", [_runs(results, benchmark, runs, folder)]),
        Section("provenance", "Provenance", _provenance(benchmark)),
    ]
    data = list(dict.fromkeys(run.data for run in runs))
    title = f"{counted(len(results.methods), 'method')} on {', '.join(data)}"
    subtitle = f"Benchmark {path.resolve().name}: {results.finished} of {results.planned} runs finished"
    return Document(title, subtitle, sections, remark())


def _summary(results: Results, entries: Sequence[MethodSummary], recalls: Mapping[str, pd.DataFrame]) -> list[Block]:
    sentences = [
        f"{data}, {backbone}, {METRICS[metric].label}: {_ranking(own, results.baseline)}"
        for (data, backbone, metric), own in _grouped(entries, "data", "backbone", "metric")
    ]
    for data, table in recalls.items():
        rarest = _rarest(table)
        sentences.append(
            f"{data}, recall of {rarest.name}, the rarest class ({rarest.trained:,.0f} training images, at least "
            f"{counted(rarest.scored, 'test image')} in a run), median of the runs: {rarest.found}."
            + " Of so few, a single image changes it a lot."
            * (rarest.scored < FEW_IN_CLASS)
        )
    return [*(Note(text) for text in notes(results)), Listing(sentences), *_comparisons(entries, results.baseline)]


def _comparisons(entries: Sequence[MethodSummary], baseline: str) -> list[Block]:
    """Return how many differences were tested, and what the correction of their p-values leaves open."""
    tested = [entry for entry in entries if entry.method != baseline and not math.isnan(entry.p_corrected)]
    places = len(_grouped(tested, "data", "backbone", "metric"))
    if not tested:
        return []
    text = f"Comparisons: {counted(len(tested), 'difference')} from {baseline} tested, by {counted(places, 'score')} in all."
    if places > 1:
        text += (
            " The p-values are corrected for the number of methods by each score, not for the number of scores: if no method "
            "differed, about one score in 20 would still show a significant difference."
        )
    return [Text(text)]


def _ranking(entries: Sequence[MethodSummary], baseline: str) -> str:
    """Describe which method is best, how the others compare with it, and which differ from the baseline."""
    ranked = [entry for entry in entries if not math.isnan(entry.rank)]
    if not ranked:
        return "no method has a defined score."
    tied = [entry.method for entry in entries if entry.standing == "tied"]
    best = next((entry for entry in entries if entry.standing == "best"), min(ranked, key=lambda entry: entry.rank))
    text = f"{best.method} has the best mean, {100 * best.mean.mean:.1f}%."
    if tied:
        score = f"{100 * best.mean.mean:.1f}%"
        text = f"{listed(tied)} have the same score in every fold or training, {score}: none of them is the best."
    elif all(entry.standing == "untested" for entry in entries):
        if entries[0].in_folds:
            return f"{text} With a single fold, differences cannot be tested."
        return f"{text} These are single trained models: {TWO_MODELS}."
    for standing, words in _STANDINGS.items():
        if names := [entry.method for entry in entries if entry.standing == standing]:
            text += f" {words}: {', '.join(names)}."
    if unranked := [entry.method for entry in entries if math.isnan(entry.rank)]:
        text += f" Not ranked, as the score is undefined or missing in some folds: {', '.join(unranked)}."
    significant = [entry for entry in entries if entry.p_corrected < LEVEL]
    if significant:
        changes = ", ".join(f"{entry.method} ({100 * entry.difference.mean:+.1f})" for entry in significant)
        text += f" Significantly different from {baseline}, in percentage points: {changes}."
    return text


def _grouped(entries: Iterable[MethodSummary], *keys: str) -> list[tuple[tuple[str, ...], list[MethodSummary]]]:
    """Group entries by the given fields."""
    groups: dict[tuple[str, ...], list[MethodSummary]] = {}
    for entry in entries:
        groups.setdefault(tuple(getattr(entry, key) for key in keys), []).append(entry)
    return list(groups.items())


def _tables(results: Results, entries: Sequence[MethodSummary]) -> list[Block]:
    blocks: list[Block] = [
        Table(f"{grid.title}. {grid.note}", grid.header, grid.rows)
        for grid in grids(results, entries)
        if grid.title != "Mean ranks"
    ]
    several = len({entry.backbone for entry in entries}) > 1
    rows = pd.DataFrame(
        [
            {
                "group": f"{entry.data} · {METRICS[entry.metric].label}" + (f" · {entry.backbone}" if several else ""),
                "label": entry.method,
                "value": entry.difference.mean,
                "low": entry.difference.low,
                "high": entry.difference.high,
                "p": entry.p_corrected,
            }
            for _, own in _grouped(entries, "data", "metric", "backbone")
            for entry in own
            if entry.method != results.baseline and not math.isnan(entry.difference.mean)
        ]
    )
    if rows.empty:
        return [*blocks, Note(f"There is no method to compare with {results.baseline} yet.")]
    caption = (
        f"Mean differences to {results.baseline} with 95% intervals; right of the line the method is better. p-values are "
        "corrected for the number of methods (Holm)."
    )
    if any(map(of_two_models, entries)):
        caption += f" On one test part, {TWO_MODELS}."
    return [*blocks, Chart("differences", caption, forest(rows, results.baseline))]


def _ranks(entries: Sequence[MethodSummary]) -> list[Block]:
    """Return the ranks by the first score of each data set, which `entries` are."""
    several = len({entry.backbone for entry in entries}) > 1
    table = pd.DataFrame(
        [(entry.method, entry.data + (f" · {entry.backbone}" if several else ""), entry.rank) for entry in entries],
        columns=["method", "place", "rank"],
    ).pivot(index="method", columns="place", values="rank")
    table = table.reindex(list(dict.fromkeys(entry.method for entry in entries)))
    if len(table) < 2:
        return [Note("There is only one method.")]
    labels = listed(list(dict.fromkeys(METRICS[entry.metric].label for entry in entries)))
    caption = f"Rank of each method by its mean {labels}, 1 is best. Ranks do not show how large differences are."
    if len({entry.metric for entry in entries}) > 1:
        caption += " The score is the first in the table of each data set."
    return [Chart("ranks", caption, ranks(table))]


def _recalls(benchmark: BenchmarkFolder, runs: Sequence[PlannedRun], baseline: str) -> dict[str, pd.DataFrame]:
    """Return the table for `score_by_rarity` of each data set, the baseline first."""
    tables = {}
    for data in dict.fromkeys(run.data for run in runs):
        own = sorted((run for run in runs if run.data == data), key=lambda run: run.method != baseline)
        rows = [row for run in own for row in _recalls_of(benchmark, run)]
        if rows:
            rows += _recalls_of_added(benchmark, own)
            tables[data] = (
                pd.DataFrame(rows)
                .groupby(["method", "class"], sort=False)
                .agg(
                    images=("images", "mean"),
                    scored=("scored", "min"),
                    recall=("recall", "median"),
                    low=("recall", "min"),
                    high=("recall", "max"),
                )
                .reset_index()
            )
    return tables


def _recalls_of(benchmark: BenchmarkFolder, run: PlannedRun) -> list[dict[str, object]]:
    own = benchmark.run(run)
    if not (own.metrics.is_file() and own.manifest.is_file()):
        return []
    return _rows_of(run.method, read_scores(own.metrics)[run.scored], Run(own).images)


def _recalls_of_added(benchmark: BenchmarkFolder, runs: Sequence[PlannedRun]) -> list[dict[str, object]]:
    """Return the rows of predictions of other programs, beside the training images of the `runs` on the same fold."""
    images = {run.fold: Run(benchmark.run(run)).images for run in runs if benchmark.run(run).manifest.is_file()}
    planned = {run.fold: run.data_fingerprint for run in runs}
    return [
        row
        for added, folder in added_rows(benchmark)
        if added.data == runs[0].data and added.folds == planned
        for fold in added.folds
        if fold in images
        for row in _rows_of(added.name, Evaluation.open(folder / fold).scores, images[fold])
    ]


def _rows_of(method: str, scores: Scores, images: pd.DataFrame) -> list[dict[str, object]]:
    trained = images.loc[images["split"] == "train", "label"].value_counts()
    return [
        {
            "method": method,
            "class": name,
            "images": int(trained.get(name, 0)),
            "scored": row.support,
            "recall": row.recall.value,
        }
        for name, row in scores.per_class.items()
    ]


@dataclass(frozen=True)
class _Rarest:
    """The rarest class: its training images, the test images of the run with fewest, and "instance 0%, class 42%"."""

    name: str
    trained: float
    scored: int
    found: str


def _rarest(recalls: pd.DataFrame) -> _Rarest:
    rarest = recalls.sort_values("images", kind="stable").iloc[0]
    rows = recalls[recalls["class"] == rarest["class"]]
    found = [f"{row.method} " + ("–" if math.isnan(row.recall) else f"{100 * row.recall:.0f}%") for row in rows.itertuples()]
    return _Rarest(display_name(str(rarest["class"])), rarest["images"], int(rows["scored"].min()), ", ".join(found))


def _rarity(recalls: Mapping[str, pd.DataFrame]) -> list[Block]:
    blocks: list[Block] = []
    for number, (data, table) in enumerate(recalls.items(), start=1):
        rarest = _rarest(table)
        caption = f"{data}: recall of each class (median, lowest and highest of the runs) against its training images."
        drawing = replace(score_by_rarity(table), description=f"Recall of {rarest.name}, the rarest class: {rarest.found}.")
        blocks.append(Chart(f"rarity-{number}", caption, drawing))
    return blocks or [Note("No run is finished.")]


def _cost(benchmark: BenchmarkFolder, runs: Sequence[PlannedRun], entries: Sequence[MethodSummary]) -> list[Block]:
    costs: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for run in runs:
        path = benchmark.run(run).cost
        if path.is_file() and not (cost := Run(benchmark.run(run)).cost).resumed:
            pair = cost.alone_seconds, math.nan if cost.memory_bytes is None else float(cost.memory_bytes)
            costs.setdefault((run.data, run.backbone, run.method), []).append(pair)
    blocks: list[Block] = []
    for number, ((data, backbone), own) in enumerate(_grouped(entries, "data", "backbone"), start=1):
        rows, resumed = [], []
        for entry in own:
            if (found := costs.get((data, backbone, entry.method))) is None:
                resumed.append(entry.method)
            elif not math.isnan(entry.mean.mean):
                seconds, memory = (float(np.median(values)) for values in zip(*found, strict=True))
                score = {"score": entry.mean.mean, "low": entry.mean.low, "high": entry.mean.high}
                rows.append({"method": entry.method, "seconds": seconds, "memory": memory, **score})
        if not rows or EXTERNAL in data:
            continue
        label = METRICS[own[0].metric].label
        caption = f"{data}, {backbone}: {label} (mean with 95% interval) against the cost of a training alone (median)."
        if resumed:
            caption += f" Not shown, because all of their runs were interrupted and resumed: {', '.join(resumed)}."
        blocks.append(Chart(f"cost-{number}", caption, cost_by_score(pd.DataFrame(rows), label)))
    return blocks or [Note("The cost of the trainings is unknown: all runs were interrupted and resumed.")]


def _runs(results: Results, benchmark: BenchmarkFolder, runs: Sequence[PlannedRun], folder: Path) -> Table:
    metrics = metrics_of(results)
    names = list(dict.fromkeys(name for chosen in metrics.values() for name in chosen))
    rows, links = [], []
    for run in runs:
        own = benchmark.run(run)
        finished = own.metrics.is_file()
        scores = held_out_scores(Run(own), run.scored) if finished else {}
        values = (scores.get(name, math.nan) if name in metrics.get(run.data, ()) else math.nan for name in names)
        state = ["–" if math.isnan(value) else f"{value:.3f}" for value in values]
        rows.append([run.title, *state, "finished" if finished else "not finished"])
        page = own.path / "report.html"
        links.append(Path(os.path.relpath(page.resolve(), folder)).as_posix() if page.is_file() else "")
    caption = "All runs, each with a link to its report."
    if not all(links):
        caption = (
            f"All runs. `bmixup report {benchmark.path} --runs` writes a report of each finished one, and links to it here."
        )
    return Table(caption, ["run", *(METRICS[name].label for name in names), "state"], rows, links=links)


def _provenance(benchmark: BenchmarkFolder) -> list[Block]:
    plan = benchmark.plan
    blocks: list[Block] = []
    if plan.is_file():
        blocks.append(Collapsible("Plan", plan.read_text(encoding="utf-8")))
    return [*blocks, Text(f"If this helped your work, please cite the paper: {CITATION}")]
