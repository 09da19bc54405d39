"""The figures of reports, one at a time, as figures of matplotlib.

    from balanced_mixup import figures

    figures.confusion_matrix("runs/mine").savefig("confusion.pdf")
    figures.reliability_diagram("runs/mine/evaluations/clinic-all")

Each takes a run, an evaluation, or the folder of one, and draws what its report shows. Figures of plain data, without a run,
are in `balanced_mixup.report.figures`. All need the extra `report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from balanced_mixup.errors import UsageError
from balanced_mixup.extras import require
from balanced_mixup.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from balanced_mixup.report.contents import Contents
    from balanced_mixup.runs.evaluation import Evaluation
    from balanced_mixup.runs.run import Run

    Scored: TypeAlias = Path | str | Run | Evaluation

__all__ = [
    "class_prior",
    "class_scores",
    "class_sizes",
    "confusion_matrix",
    "precision_recall_curves",
    "reliability_diagram",
    "roc_curves",
    "training_curves",
]


def confusion_matrix(of: Scored) -> Figure:
    """Draw how many images of each class are predicted as which. UsageError where there are no predictions."""
    return _figure(of, "scores_view:confusion_view", "confusion")


def class_scores(of: Scored) -> Figure:
    """Draw recall and precision of each class with intervals, the rarest first. UsageError where there are no scores."""
    return _figure(of, "scores_view:scores_view", "class-scores")


def roc_curves(of: Scored) -> Figure:
    """Draw the ROC curve of each class against the rest. UsageError where there are no probabilities."""
    return _figure(of, "scores_view:curves_view", "roc")


def precision_recall_curves(of: Scored) -> Figure:
    """Draw the precision-recall curve of each class against the rest. UsageError where there are no probabilities."""
    return _figure(of, "scores_view:curves_view", "precision-recall")


def reliability_diagram(of: Scored) -> Figure:
    """Draw accuracy against confidence, of a run before and after calibration. UsageError where there are no probabilities."""
    return _figure(of, "calibration_view:calibration_view", "reliability")


def training_curves(of: Scored) -> Figure:
    """Draw loss and scores of a run over the epochs. UsageError where there is no run."""
    return _figure(of, "data_view:training_curves_view", "training", of_run=True)


def class_sizes(of: Scored) -> Figure:
    """Draw the number of training images of each class. UsageError where there is no run."""
    return _figure(of, "data_view:data_view", "classes", of_run=True)


def class_prior(of: Scored) -> Figure:
    """Draw the share of each class in the training images, and its weight in training. UsageError where there is no run."""
    return _figure(of, "data_view:data_view", "prior", of_run=True)


def _figure(of: Scored, view: str, name: str, *, of_run: bool = False) -> Figure:
    """Return a chart of a view of the report."""
    require("A figure", "report", "matplotlib")
    from balanced_mixup.report.document import Chart

    path = Path(of) if isinstance(of, Path | str) else of.path
    contents, is_run = _contents(path)
    if of_run and not is_run:
        raise UsageError(f"Expected a run, but the predictions in {str(path)!r} are those of another program.")
    for block in _view(view, is_run)(contents):
        if isinstance(block, Chart) and block.name == name:
            return block.drawing.figure
    raise UsageError(f"There is no figure {name!r} of {str(path)!r}.")


def _contents(path: Path) -> tuple[Contents, bool]:
    """Return what a report shows of a folder, and whether it is of a run."""
    from balanced_mixup.report.contents import read_evaluation, read_other_program, read_run
    from balanced_mixup.runs.evaluation import Evaluation

    if RunFolder(path).recipe.is_file() or not (path / "metrics.json").is_file():
        return read_run(path), True
    if Evaluation.open(path).stored.other_program is None:
        return read_evaluation(path), True
    return read_other_program(path), False


def _view(name: str, is_run: bool) -> Callable[[Any], Sequence[Any]]:
    """Return a view, "module:function"; that of calibration is another one for other programs."""
    from pkgutil import resolve_name

    if name.startswith("calibration_view") and not is_run:
        name = "other_program:calibration"
    view: Callable[[Any], Sequence[Any]] = resolve_name(f"balanced_mixup.report.{name}")
    return view
