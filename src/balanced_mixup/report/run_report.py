"""The report of a run or of an evaluation, section by section."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from balanced_mixup.errors import BalancedMixupError
from balanced_mixup.report.calibration_view import calibration_view
from balanced_mixup.report.contents import RunContents, read_evaluation, read_run
from balanced_mixup.report.data_view import data_view, training_curves_view
from balanced_mixup.report.document import Block, Collapsible, Document, Note, Section, Text
from balanced_mixup.report.errors_view import errors_view
from balanced_mixup.report.net_benefit_view import net_benefit_view
from balanced_mixup.report.other_program import other_program_report
from balanced_mixup.report.scores_view import confusion_view, curves_view, scores_view
from balanced_mixup.report.subgroup_view import subgroup_view
from balanced_mixup.report.summary_view import summary
from balanced_mixup.report.training_view import training_view
from balanced_mixup.report.words import CITATION, remark
from balanced_mixup.runs.evaluation import Evaluation


def run_report(path: Path) -> Document:
    """Return the report of a run; what cannot be shown is listed with the reason.

    Raises:
        UsageError: It is not the folder of a run.
    """
    run = read_run(path)
    title = f"{run.recipe.method.name} on {_data_name(run.recipe.data)}"
    subtitle = f"Run {path.resolve().name}: {run.recipe.backbone}, {run.recipe.size} px"
    views = {name: view for name, view in _VIEWS.items() if name != "subgroups"}
    return Document(title, subtitle, _sections(run, views), remark(run.run.started))


def evaluation_report(path: Path) -> Document:
    """Return the report of an evaluation, without the sections on training.

    Raises:
        UsageError: It is not the folder of an evaluation, or its run is missing.
    """
    if Evaluation.open(path).stored.other_program is not None:
        return other_program_report(path)
    run = read_evaluation(path)
    scored = f"its {run.split} split" if run.split != "other" else _data_name(run.settings.data)
    title = f"{run.recipe.method.name}, trained on {_data_name(run.recipe.data)}, scored on {scored}"
    subtitle = f"Run {run.path.name}: {run.recipe.backbone}, {run.recipe.size} px"
    without = _TRAINING if Evaluation.open(path).stored.subgroups else (*_TRAINING, "subgroups")
    views = {name: view for name, view in _VIEWS.items() if name not in without}
    return Document(title, subtitle, _sections(run, views), remark(run.run.started))


def _data_name(data: str) -> str:
    """Return the stem of the data, or the folder's name for generic file names."""
    path = Path(data)
    return path.parent.name if path.stem in ("labels", "manifest") and path.parent.name else path.stem


def _sections(run: RunContents, views: Mapping[str, tuple[str, "_View"]]) -> list[Section]:
    first, *others = (Section(name, title, _blocks(view, run)) for name, (title, view) in views.items())
    missing = [Note(reason) for reason in run.missing]
    return [Section(first.name, first.title, [*missing, *first.blocks]), *others]


def _blocks(view: "_View", run: RunContents) -> Sequence[Block]:
    try:
        return view(run)
    except BalancedMixupError as error:
        return [Note(f"This section is missing. {error}")]


def _provenance(run: RunContents) -> list[Block]:
    return [
        Collapsible("Recipe", _yaml(run.recipe.settings())),
        *([Collapsible("Environment", _yaml(dict(run.environment)))] if run.environment else []),
        Text(f"If this helped your work, please cite the paper: {CITATION}"),
    ]


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


_View = Callable[[RunContents], Sequence[Block]]
_VIEWS: Mapping[str, tuple[str, _View]] = {
    "summary": ("Summary", summary),
    "data": ("Data", data_view),
    "training-images": ("Training images", training_view),
    "training": ("Training", training_curves_view),
    "scores": ("Scores", scores_view),
    "subgroups": ("Subgroups", subgroup_view),
    "confusion": ("Confusion matrix", confusion_view),
    "curves": ("ROC and precision-recall curves", curves_view),
    "calibration": ("Calibration", calibration_view),
    "net-benefit": ("Net benefit", net_benefit_view),
    "gallery": ("Errors and uncertain predictions", errors_view),
    "provenance": ("Provenance", _provenance),
}
_TRAINING = ("data", "training-images", "training")
