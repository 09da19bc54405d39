"""The report of a choice: the answer, the path to it, and the held-out part."""

from pathlib import Path

import pandas as pd

from balanced_mixup.choose.record import Choice
from balanced_mixup.choose.words import answer, cost, fates, held_out_cells, rule
from balanced_mixup.errors import human_time
from balanced_mixup.metrics import METRICS
from balanced_mixup.report.document import Block, Chart, Collapsible, Document, Listing, Note, Section, Table, Text
from balanced_mixup.report.figures import cost_by_score, halving_paths
from balanced_mixup.report.words import CITATION, remark

_TRIED = "What was tried, and how it ended; scores are {}."


def choice_report(path: Path) -> Document:
    """Return the report of the choice in `path`, finished or not.

    Raises:
        UsageError: It is no folder of a choice.
    """
    choice = Choice.read(path)
    sections = [
        Section("answer", "Answer", _answer(choice)),
        Section("path", "The path to it", _path(choice)),
        Section("candidates", "All candidates", [Table(_TRIED.format(METRICS[choice.metric].label), *fates(choice), words=2)]),
        Section("provenance", "Provenance", _provenance(path)),
    ]
    images = choice.images
    counts = f"{images['training']:,} images to choose on, {images['held out']:,} held out" if images else "not screened yet"
    subtitle = f"A choice within {human_time(choice.budget)}: {counts}"
    return Document(f"Which method: {path.resolve().name}", subtitle, sections, remark())


def _answer(choice: Choice) -> list[Block]:
    if not choice.held_out:
        return [Note("The choice is not finished: run `bmixup choose` again to go on."), Text(cost(choice))]
    header, rows = held_out_cells(choice)
    caption = (
        "The answer, plain training, and plain training with corrected predictions, trained on the whole training part, on "
        "images that took no part in the choice. Differences are those of these trained models, with intervals over the images."
    )
    return [Listing(answer(choice)), Table(caption, header, rows), Text(cost(choice))]


def _path(choice: Choice) -> list[Block]:
    label = METRICS[choice.metric].label
    blocks: list[Block] = []
    rows = pd.DataFrame(
        {"method": each.label, "seconds": max(each.seconds, 0.1), "score": each.score, "low": each.score, "high": each.score}
        for each in choice.screened
        if each.label == each.method
    )
    if len(rows):
        caption = f"Screening: {label} of a head on frozen features (mean over inner folds) against the time of its training."
        blocks.append(Chart("screening", caption, cost_by_score(rows, label)))
    paths = [trial for trial in choice.trials if trial.path]
    if paths:
        caption = (
            f"Full trainings on the first inner fold: {label} on validation after each epoch against the time of the training. "
            "A cross is where a training was dropped, a dot where it ended."
        )
        points = [(trial.method, seconds, score, trial.fate) for trial in paths for seconds, score in trial.path]
        table = pd.DataFrame(points, columns=["method", "seconds", "score", "fate"])
        blocks.append(Chart("halving", caption, halving_paths(table, label)))
    return [*blocks, Text(rule(choice))] if choice.epochs else [*blocks, Note("No full training has begun.")]


def _provenance(path: Path) -> list[Block]:
    recipe = path / "recipe.yaml"
    blocks: list[Block] = []
    if recipe.is_file():
        blocks.append(Collapsible("Recipe of the answer, for `bmixup train --config`", recipe.read_text(encoding="utf-8")))
    return [*blocks, Text(f"If this helped your work, please cite the paper: {CITATION}")]
