"""Evaluations: the scores of a run on some data, as `bmixup evaluate` returns and stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from balanced_mixup.calibration.class_prior import TargetPrior
from balanced_mixup.calibration.scores import CalibrationScores
from balanced_mixup.calibration.thresholds import ThresholdResult
from balanced_mixup.errors import UsageError
from balanced_mixup.runs.formats import EVALUATION_FILE, damaged, read_file, write_file
from balanced_mixup.runs.predictions import Predictions
from balanced_mixup.runs.run import Run
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.runs.scores import Scores
from balanced_mixup.runs.subgroups import Subgroup
from balanced_mixup.statistics.predictive_values import predictive_values


@dataclass(frozen=True)
class CalibrationResult:
    """Calibration before and after the correction that was fitted on `images` validation images.

    There is no correction, and all but `before` is None, for the predictions of another program. temperature: 1 where none is
    kept, for the reason `note`, which is also given for one that an older version kept and that would not be kept today.
    """

    before: CalibrationScores
    after: CalibrationScores | None = None
    images: int | None = None
    temperature: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        after = None if self.after is None else self.after.to_dict()
        fitted = {"images": self.images, "temperature": self.temperature, "note": self.note}
        return {**fitted, "before": self.before.to_dict(), "after": after}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; older versions had no note."""
        before, after = (content[name] and CalibrationScores.from_dict(content[name]) for name in ("before", "after"))
        return cls(before, after, content["images"], content["temperature"], content.get("note", ""))


@dataclass(frozen=True)
class OtherProgram:
    """Where predictions come from that no run of ours made.

    name: What they are called. file: The table. digest: Hash of its bytes. scores: "probabilities", "logits" or "independent"
    (see `evaluation.prediction_table`), or "answers" where it has classes alone. ordinal: The classes are ordinal.
    """

    name: str
    file: str
    digest: str
    scores: str
    ordinal: bool


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation.

    Args:
        scores: Of the stored probabilities, or of those corrected to `prior` if there is one.
        prior: The class prior that the probabilities were corrected to, if any.
        calibration: None where the run cannot be calibrated.
        thresholds: For each class with a target sensitivity.
        run: The run's folder; of predictions of another program that of the run whose images are scored, or "".
        data: What was scored; None for the run's own data.
        split: Which split of the data, or "all".
        flip: Whether predictions are averages over each image and its mirror image.
        settings: How the data were read (`DataSettings`); None for the run's own.
        folder: Where scores and predictions are kept; None where they are not.
        other_program: Where the predictions come from; None for those of the run.
        subgroups: Scores of the images with each value in some columns of the table.
        excluded: Names of the images that were left out, each with its problems; not in metrics.json.
    """

    scores: Scores
    prior: TargetPrior | None = None
    calibration: CalibrationResult | None = None
    thresholds: Mapping[str, ThresholdResult] = field(default_factory=dict)
    run: str = ""
    data: str | None = None
    split: str = "all"
    flip: bool = True
    settings: Mapping[str, Any] | None = None
    folder: Path | None = None
    other_program: OtherProgram | None = None
    subgroups: Sequence[Subgroup] = ()
    excluded: Sequence[tuple[str, str]] = ()

    def __repr__(self) -> str:
        """Return what was scored, and the scores, in one line."""
        what = self.other_program.name if self.other_program is not None else self.run
        return f"EvaluationResult({what!r} on {self.split} of {self.data or 'its own data'}: {self.scores!r})"

    def _repr_html_(self) -> str:
        return self.scores._repr_html_()

    def moved(self, file: Path, to: Path) -> Self:
        """Return the same for data or predictions whose file was moved."""
        old, new = str(file), str(to)
        settings = self.settings and {name: new if value == old else value for name, value in self.settings.items()}
        program = self.other_program
        if program is not None and program.file == old:
            program = replace(program, file=new)
        return replace(self, data=new if self.data == old else self.data, settings=settings, other_program=program)

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON, but `settings` and `folder`; what is undefined is None."""
        return {
            "run": self.run,
            "data": self.data,
            "split": self.split,
            **({} if self.data is None else {"flip": self.flip}),
            **self.scores.to_dict(),
            "prior": None if self.prior is None else self.prior.to_dict(tuple(self.scores.per_class)),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "thresholds": {name: result.to_dict() for name, result in self.thresholds.items()},
            **({} if self.prior is None else {"predictive_values": self._predictive_values(self.prior)}),
            **({"subgroups": [each.to_dict() for each in self.subgroups]} if self.subgroups else {}),
            **({} if self.other_program is None else {"other_program": asdict(self.other_program)}),
        }

    def _predictive_values(self, prior: TargetPrior) -> dict[str, Any]:
        """Return PPV and NPV of each class at its share in the class prior, for JSON."""
        found = {}
        for name, share in prior.by_class(tuple(self.scores.per_class)).items():
            row = self.scores.per_class[name]
            ppv, npv = predictive_values(row.recall, row.specificity, share)
            found[name] = {"prevalence": share.value, "precision": ppv.to_dict(), "npv": npv.to_dict()}
        return found

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; KeyError, TypeError, ValueError or AttributeError where it is something else.

        Evaluations of older versions lack a prior, calibration, thresholds, subgroups and `flip`.
        """
        prior, calibration = content.get("prior"), content.get("calibration")
        return cls(
            scores=Scores.from_dict(content),
            prior=None if prior is None else TargetPrior.from_dict(prior),
            calibration=None if calibration is None else CalibrationResult.from_dict(calibration),
            thresholds={name: ThresholdResult.from_dict(row) for name, row in content.get("thresholds", {}).items()},
            run=str(content["run"]),
            data=content.get("data"),
            split=str(content["split"]),
            flip=content.get("flip", True),
            settings=content.get("settings"),
            subgroups=tuple(Subgroup.from_dict(each) for each in content.get("subgroups", ())),
            other_program=OtherProgram(**content["other_program"]) if "other_program" in content else None,
        )

    def write(self, folder: Path) -> None:
        """Write metrics.json to a folder."""
        settings = {} if self.settings is None else {"settings": self.settings}
        write_file(folder / "metrics.json", {**self.to_dict(), **settings}, EVALUATION_FILE)


class Evaluation:
    """A folder in which `bmixup evaluate` stored scores and predictions. Each file is read on first access.

        evaluation = Evaluation.open("runs/mine/evaluations/clinic-all")
        evaluation.result.scores.metrics["mcc"].value
        evaluation.predictions.to_frame()

    Properties raise UsageError where their file is missing, damaged, or of a newer version of the program.
    """

    def __init__(self, path: Path) -> None:
        """Use `Evaluation.open`."""
        self.path = path

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the folder of an evaluation.

        Raises:
            UsageError: It is no folder of an evaluation.
        """
        evaluation = cls(Path(path))
        _ = evaluation._content
        return evaluation

    def __repr__(self) -> str:
        """Return a one-line description."""
        return f"Evaluation({str(self.path)!r})"

    @cached_property
    def _content(self) -> dict[str, Any]:
        content = read_file(self.path / "metrics.json", EVALUATION_FILE)
        if not isinstance(content.get("run"), str):
            raise UsageError(
                f"Expected {str(self.path)!r} to be the folder of an evaluation, but its metrics.json names no run."
            )
        return content

    @cached_property
    def stored(self) -> EvaluationResult:
        """The result as it is stored."""
        try:
            return replace(EvaluationResult.from_dict(self._content), folder=self.path)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise damaged(self.path / "metrics.json", error, "Evaluate the run again.") from None

    @cached_property
    def result(self) -> EvaluationResult:
        """Scores with prior, calibration and thresholds; those of metrics newer than the file computed from its predictions."""
        return replace(self.stored, scores=self.stored.scores.completed(lambda: self.scored))

    @property
    def scores(self) -> Scores:
        """The scores of `result`."""
        return self.result.scores

    @cached_property
    def run(self) -> Run:
        """The run that was evaluated; the folder's own parent where both were moved.

        UsageError for predictions of another program that were scored on data of their own.
        """
        if self._content["run"] == "":
            raise UsageError(f"The predictions in {str(self.path)!r} are those of another program: they belong to no run.")
        home = Path(self._content["run"])
        if not RunFolder(home).recipe.is_file() and self.path.resolve().parent.name == "evaluations":
            home = self.path.resolve().parent.parent
        return Run.open(home)

    @cached_property
    def predictions(self) -> Predictions:
        """Predictions as the model made them, without a correction."""
        return Predictions.read(self.path / "predictions.parquet")

    @cached_property
    def scored(self) -> Predictions:
        """The scored predictions: corrected to the class prior of the evaluation, if any."""
        if (prior := self.stored.prior) is None:
            return self.predictions
        corrected = self.run.calibration.apply(self.predictions.probabilities, prior)
        return replace(self.predictions, probabilities=corrected)
