"""Which methods of a benchmark have collapsed, and in how many of their runs."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from balanced_mixup.benchmark.results import Results, RunCollapse
from balanced_mixup.evaluation.collapse import NAMED, Collapse
from balanced_mixup.words import counted, display_name, listed

MARK = "†"

Place = tuple[str, str, str]


def marked(results: Results) -> set[Place]:
    """Return data, backbone and method of those of which a run predicts one class only or is not better than chance."""
    return {_place(run) for run in results.collapses if run.collapse.failed}


def collapse_notes(results: Results) -> list[str]:
    """Return sentences about collapsed runs, and about classes that no run of a method finds."""
    several = len({run.backbone for run in results.collapses}) > 1
    notes = []
    for (data, backbone), own in groupby(sorted(results.collapses, key=_place), key=lambda run: _place(run)[:2]):
        methods = {method: [run.collapse for run in runs] for method, runs in groupby(own, key=lambda run: run.method)}
        where = f"{data}, {backbone}" if several else data
        methods = {method: methods[method] for method in results.methods if method in methods}
        if failures := [text for method, runs in methods.items() for text in _failures(method, runs)]:
            notes.append(f"{MARK} {where}: {'; '.join(failures)}.")
        unfound: dict[str, list[str]] = {}
        for method, runs in methods.items():
            for name in _never_found(runs):
                unfound.setdefault(name, []).append(method)
        if unfound:
            classes = [f"{display_name(name)} (by {', '.join(those)})" for name, those in unfound.items()]
            notes.append(f"{where}: no image found in any run: {listed(classes, NAMED)}.")
    return notes


def _place(run: RunCollapse) -> Place:
    return run.data, run.backbone, run.method


def _failures(method: str, runs: Sequence[Collapse]) -> Iterator[str]:
    of = counted(len(runs), "run")
    if only := [run.only for run in runs if run.only is not None]:
        names = listed([display_name(name) for name in dict.fromkeys(only)], NAMED)
        yield f"{method} predicts one class only in {len(only)} of {of} ({names})"
    if chance := sum(bool(run.chance) for run in runs):
        yield f"{method} is not better than chance in {chance} of {of}"


def _never_found(runs: Sequence[Collapse]) -> list[str]:
    """Return the classes that no run finds; those that predict one class only are left out, as nothing else is found there."""
    unfound = [{**run.never, **run.missed} for run in runs if run.only is None]
    return [name for name in unfound[0] if all(name in other for other in unfound)] if unfound else []
