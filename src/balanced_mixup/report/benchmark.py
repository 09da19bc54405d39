"""The report of a benchmark: which methods can be told apart, on which classes they differ, and what they cost."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from balanced_mixup.benchmark.benchmark_folder import BenchmarkFolder, PlannedRun
from balanced_mixup.benchmark.results import EXTERNAL, Results, held_out_scores, read_results
from balanced_mixup.benchmark.summary import LEVEL, MethodSummary, summarise
from balanced_mixup.benchmark.tables import grids, metrics_of, notes
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.citation import CITATION
from balanced_mixup.report.document import Block, Chart, Document, Folded, Listing, Note, Section, Table, Text
from balanced_mixup.report.figures.comparison import forest, ranks
from balanced_mixup.report.figures.cost import cost_by_score
from balanced_mixup.report.figures.rarity import score_by_rarity
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.scores import read_scores


def benchmark_report(path: Path, folder: Path) -> Document:
    """Return the report of the benchmark in `path`; its links lead from `folder`.

    Raises:
        UsageError: It is no folder of a benchmark, or has no finished run yet.
    """
    benchmark = BenchmarkFolder(path)
    results = read_results(path)
    metrics = metrics_of(results)
    entries = summarise(results, metrics)
    runs = benchmark.read().runs
    recalls = _recalls(benchmark, runs, results.baseline)
    sections = [
        Section("summary", "In short", _summary(results, entries, recalls)),
        Section("tables", "Scores and differences", _tables(results, entries)),
        Section("ranks", "Ranks", _ranks(entries, metrics[0])),
        Section("rarity", "Rare and frequent classes", _rarity(recalls)),
        Section("cost", "Cost", _cost(benchmark, runs, entries, metrics[0])),
        Section("runs", "Every run", [_runs(benchmark, runs, folder, metrics)]),
        Section("making", "How this was made", _making(benchmark)),
    ]
    data = list(dict.fromkeys(run.data for run in runs))
    title = f"{len(results.methods)} methods on {', '.join(data)}"
    return Document(title, f"Benchmark {path.resolve().name}: {results.finished} of {results.planned} runs finished", sections)


def _summary(results: Results, entries: Sequence[MethodSummary], recalls: Mapping[str, pd.DataFrame]) -> list[Block]:
    sentences = [
        f"{data}, {backbone}, by {METRICS[metric].label}: {_standing(own, results.baseline)}"
        for (data, backbone, metric), own in _places(entries, "data", "backbone", "metric")
    ]
    for data, table in recalls.items():
        name, images, found = _rarest(table)
        sentences.append(
            f"{data}: how much of {name}, the rarest class ({images:,.0f} images in training), is found, median of the runs: "
            f"{found}."
        )
    return [*(Note(text) for text in notes(results)), Listing(sentences)]


def _standing(entries: Sequence[MethodSummary], baseline: str) -> str:
    """Return which method is best by a score, which cannot be told from it, and which differ from the baseline."""
    ranked = [entry for entry in entries if not math.isnan(entry.rank)]
    if not ranked:
        return "no score is defined."
    best = min(ranked, key=lambda entry: entry.rank)
    text = f"{best.method} has the best mean, {100 * best.mean.mean:.1f} per cent."
    if all(math.isnan(entry.mean.low) for entry in entries):
        return f"{text} One fold says nothing about chance: differences cannot be tested yet."
    alike = [entry.method for entry in entries if entry.among_best and entry.method != best.method]
    if len(alike) == len(entries) - 1 and alike:
        text += " No other method can be told from it by these runs."
    elif alike:
        text += f" These cannot be told from it: {', '.join(alike)}."
    elif len(entries) > 1:
        text += " All others are worse by more than chance explains."
    apart = [entry for entry in entries if entry.p_corrected < LEVEL]
    if apart:
        changes = ", ".join(f"{entry.method} by {100 * entry.difference.mean:+.1f}" for entry in apart)
        text += f" Told apart from {baseline}: {changes} percentage points."
    return text


def _places(entries: Iterable[MethodSummary], *keys: str) -> list[tuple[tuple[str, ...], list[MethodSummary]]]:
    """Return the entries of each data set, backbone, or whatever the keys say."""
    places: dict[tuple[str, ...], list[MethodSummary]] = {}
    for entry in entries:
        places.setdefault(tuple(getattr(entry, key) for key in keys), []).append(entry)
    return list(places.items())


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
            for _, own in _places(entries, "data", "metric", "backbone")
            for entry in own
            if entry.method != results.baseline and not math.isnan(entry.difference.mean)
        ]
    )
    if rows.empty:
        return [*blocks, Note(f"There is no method to compare with {results.baseline} yet.")]
    caption = (
        f"Mean paired differences to {results.baseline} with 95 % intervals; right of the line the method is better. p after "
        "Holm's correction."
    )
    apart = [f"{row.label} on {row.group}" for row in rows.itertuples() if float(str(row.p)) < LEVEL]
    alternative = f"Told apart from {results.baseline}: {'; '.join(apart) if apart else 'none'}."
    return [*blocks, Chart("differences", caption, alternative, forest(rows, results.baseline))]


def _ranks(entries: Sequence[MethodSummary], metric: str) -> list[Block]:
    own = [entry for entry in entries if entry.metric == metric]
    several = len({entry.backbone for entry in own}) > 1
    table = pd.DataFrame(
        [(entry.method, entry.data + (f" · {entry.backbone}" if several else ""), entry.rank) for entry in own],
        columns=["method", "place", "rank"],
    ).pivot(index="method", columns="place", values="rank")
    table = table.reindex(list(dict.fromkeys(entry.method for entry in own)))
    if len(table) < 2:
        return [Note("There is one method alone.")]
    caption = f"Rank of each method by its mean {METRICS[metric].label}, 1 is best. Ranks do not say how large differences are."
    order = table.mean(axis=1).sort_values()
    alternative = "Mean ranks: " + ", ".join(f"{method} {rank:.1f}" for method, rank in order.items()) + "."
    return [Chart("ranks", caption, alternative, ranks(table))]


def _recalls(benchmark: BenchmarkFolder, runs: Sequence[PlannedRun], baseline: str) -> dict[str, pd.DataFrame]:
    """Return for each data set what `score_by_rarity` takes, the baseline first."""
    tables = {}
    for data in dict.fromkeys(run.data for run in runs):
        own = sorted((run for run in runs if run.data == data), key=lambda run: run.method != baseline)
        if rows := [row for run in own for row in _recalls_of(benchmark, run)]:
            tables[data] = (
                pd.DataFrame(rows)
                .groupby(["method", "class"], sort=False)
                .agg(images=("images", "mean"), recall=("recall", "median"), low=("recall", "min"), high=("recall", "max"))
                .reset_index()
            )
    return tables


def _recalls_of(benchmark: BenchmarkFolder, run: PlannedRun) -> list[dict[str, object]]:
    own = benchmark.run(run)
    if not (own.metrics.is_file() and own.manifest.is_file()):
        return []
    table = pd.read_csv(own.manifest, dtype=str, keep_default_na=False)
    trained = table.loc[table["split"] == "train", "label"].value_counts()
    per_class = read_scores(own.metrics)[run.scored].per_class
    return [
        {
            "method": run.method,
            "class": name,
            "images": int(trained.get(name, 0)),
            "recall": row.recall.value,
        }
        for name, row in per_class.items()
    ]


def _rarest(recalls: pd.DataFrame) -> tuple[str, float, str]:
    """Return the rarest class, its number of images, and "instance 0 %, class 42 %": how much of it each method finds."""
    rarest = recalls.sort_values("images", kind="stable").iloc[0]
    rows = recalls[recalls["class"] == rarest["class"]].itertuples()
    found = [f"{row.method} " + ("–" if math.isnan(row.recall) else f"{100 * row.recall:.0f} %") for row in rows]
    return rarest["class"], rarest["images"], ", ".join(found)


def _rarity(recalls: Mapping[str, pd.DataFrame]) -> list[Block]:
    blocks: list[Block] = []
    for number, (data, table) in enumerate(recalls.items(), start=1):
        name, _, found = _rarest(table)
        caption = (
            f"{data}: share of each class that is found (median, lowest and highest of the runs), against its training images."
        )
        alternative = f"Of {name}, the rarest class, is found: {found}."
        blocks.append(Chart(f"rarity-{number}", caption, alternative, score_by_rarity(table)))
    return blocks or [Note("No run is finished.")]


def _cost(benchmark: BenchmarkFolder, runs: Sequence[PlannedRun], entries: Sequence[MethodSummary], metric: str) -> list[Block]:
    costs: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for run in runs:
        path = benchmark.run(run).cost
        if path.is_file() and not (cost := Run(benchmark.run(run)).cost).resumed:
            pair = cost.seconds, math.nan if cost.memory_bytes is None else float(cost.memory_bytes)
            costs.setdefault((run.data, run.backbone, run.method), []).append(pair)
    blocks: list[Block] = []
    for number, ((data, backbone), own) in enumerate(
        _places((entry for entry in entries if entry.metric == metric), "data", "backbone"), start=1
    ):
        rows = [
            {
                "method": entry.method,
                "seconds": float(np.median([seconds for seconds, _ in costs[data, backbone, entry.method]])),
                "memory": float(np.median([memory for _, memory in costs[data, backbone, entry.method]])),
                "score": entry.mean.mean,
                "low": entry.mean.low,
                "high": entry.mean.high,
            }
            for entry in own
            if (data, backbone, entry.method) in costs and not math.isnan(entry.mean.mean)
        ]
        if not rows or EXTERNAL in data:
            continue
        resumed = [entry.method for entry in own if (data, backbone, entry.method) not in costs]
        label = METRICS[metric].label
        caption = f"{data}, {backbone}: {label} (mean with 95 % interval) against what a training costs (median of the runs)."
        if resumed:
            caption += f" Not shown, as none of their runs was made in one go: {', '.join(resumed)}."
        table = pd.DataFrame(rows)
        fastest = table.sort_values("seconds", kind="stable").iloc[0]
        alternative = f"The fastest is {fastest['method']}, {fastest['seconds']:.0f} s."
        blocks.append(Chart(f"cost-{number}", caption, alternative, cost_by_score(table, label)))
    return blocks or [Note("What the trainings cost is not known: no run was made in one go.")]


def _runs(benchmark: BenchmarkFolder, runs: Sequence[PlannedRun], folder: Path, metrics: Sequence[str]) -> Table:
    rows, links = [], []
    for run in runs:
        own = benchmark.run(run)
        finished = own.metrics.is_file()
        scores = held_out_scores(Run(own), run.scored) if finished else {}
        values = (scores.get(name, math.nan) for name in metrics)
        state = ["–" if math.isnan(value) else f"{value:.3f}" for value in values]
        rows.append([run.title, *state, "finished" if finished else "not finished"])
        links.append(Path(os.path.relpath(own.path.resolve(), folder)).as_posix() if own.path.is_dir() else "")
    return Table(
        "Each leads to the folder of its run.", ["run", *(METRICS[name].label for name in metrics), "state"], rows, links=links
    )


def _making(benchmark: BenchmarkFolder) -> list[Block]:
    plan = benchmark.plan
    blocks: list[Block] = []
    if plan.is_file():
        blocks.append(Folded("Plan", plan.read_text(encoding="utf-8")))
    return [*blocks, Text(f"If this helped your work, please cite the paper: {CITATION}")]
