"""The report of predictions that another program made: all that predictions and labels alone can show."""

from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from balanced_mixup.calibration.scores import reliability
from balanced_mixup.errors import BalancedMixupError, UsageError
from balanced_mixup.report.contents import Contents, read_other_program, require
from balanced_mixup.report.document import Block, Chart, Collapsible, Document, Note, Section, Table, Text
from balanced_mixup.report.errors_view import errors_view
from balanced_mixup.report.figures import reliability_diagram
from balanced_mixup.report.net_benefit_view import net_benefit_view
from balanced_mixup.report.scores_view import confusion_view, curves_view, scores_view
from balanced_mixup.report.subgroup_view import subgroup_view
from balanced_mixup.report.summary_view import summary
from balanced_mixup.report.words import (
    CALIBRATION_LABELS,
    CITATION,
    RELIABILITY_CAPTION,
    ece_explained,
    ece_words,
    interval,
    remark,
)
from balanced_mixup.runs.evaluation import OtherProgram

_MEANING = {
    "probabilities": "Its columns are probabilities, scored as they are.",
    "logits": "Its columns are logits; scored are the probabilities that a softmax makes of them.",
    "independent": "Its columns are scores of each class against the rest; scored are these divided by their sum.",
    "answers": "It has predicted classes alone: there are no scores of probabilities, no curves and no calibration.",
}


def other_program_report(path: Path) -> Document:
    """Return the report of the evaluation of another program's predictions.

    Raises:
        UsageError: It is not the folder of one.
    """
    contents = read_other_program(path)
    program = _program(contents)
    data = Path(contents.settings.data)
    views: dict[str, tuple[str, Callable[[Contents], Sequence[Block]]]] = {
        "summary": ("Summary", summary),
        "scores": ("Scores", scores_view),
        "subgroups": ("Subgroups", subgroup_view),
        "confusion": ("Confusion matrix", confusion_view),
        "curves": ("ROC and precision-recall curves", curves_view),
        "calibration": ("Calibration", calibration),
        "net-benefit": ("Net benefit", net_benefit_view),
        "gallery": ("Errors and uncertain predictions", errors_view),
        "provenance": ("Provenance", _provenance),
    }
    if contents.evaluation is None or not contents.evaluation.subgroups:
        del views["subgroups"]
    if program.scores == "answers":
        del views["curves"], views["calibration"], views["net-benefit"]
    sections = [Section(name, title, _blocks(view, contents)) for name, (title, view) in views.items()]
    sections[0] = Section(
        sections[0].name, sections[0].title, [*map(Note, contents.missing), Text(_MEANING[program.scores]), *sections[0].blocks]
    )
    name = data.parent.name if data.stem in ("labels", "manifest", "data") and data.parent.name else data.stem
    subtitle = f"Predictions of another program: {Path(program.file).name}"
    return Document(f"{program.name}, scored on {name}", subtitle, sections, remark())


def _blocks(view: Callable[[Contents], Sequence[Block]], contents: Contents) -> Sequence[Block]:
    try:
        return view(contents)
    except BalancedMixupError as error:
        return [Note(f"This section is missing. {error}")]


def _program(contents: Contents) -> OtherProgram:
    if contents.evaluation is None or contents.evaluation.other_program is None:
        raise UsageError("Expected an evaluation of predictions of another program.")
    return contents.evaluation.other_program


def calibration(contents: Contents) -> list[Block]:
    """Return how well calibrated the probabilities are as they were given; nothing can be fitted to correct them.

    Raises:
        UsageError: The predictions are missing, or classes without probabilities.
    """
    found = require(contents.predictions, "its predictions")
    scores = require(None if contents.evaluation is None else contents.evaluation.calibration, "its calibration").before
    shown = {name: label for name, label in CALIBRATION_LABELS.items() if name in scores.metrics}
    return [
        Text(
            f"The expected calibration error (ECE) is {ece_words(scores)}. {ece_explained(scores)} There is no validation "
            "split to fit a temperature on."
        ),
        Chart(
            "reliability",
            RELIABILITY_CAPTION,
            reliability_diagram(
                reliability(found.labels, found.probabilities, groups=found.groups),
                ece_before=f"ECE {ece_words(scores)}",
            ),
        ),
        Table(
            "Calibration errors, 0 is best.",
            ["score", "value [95% interval]"],
            [[label, interval(scores.metrics[name]) + scores.p_text(name)] for name, label in shown.items()],
        ),
    ]


def _provenance(contents: Contents) -> list[Block]:
    program, settings = _program(contents), contents.settings
    table = {"file": program.file, "BLAKE2 of its bytes": program.digest, "columns": program.scores}
    labels = settings.model_dump(mode="json", exclude_defaults=True)
    return [
        Collapsible("Predictions", yaml.safe_dump(table, sort_keys=False, allow_unicode=True)),
        Collapsible("Labels", yaml.safe_dump(labels, sort_keys=False, allow_unicode=True)),
        Text(f"If this helped your work, please cite the paper: {CITATION}"),
    ]
