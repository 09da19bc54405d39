"""The files that training itself writes to a run's folder."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.files import write_atomically, write_text
from balanced_mixup.training.history import upgraded

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TrainingFiles:
    """Paths of the files that training writes; `runs.run_folder.RunFolder` has the others."""

    path: Path

    @property
    def history(self) -> Path:
        """Loss, scores and learning rate of each epoch."""
        return self.path / "history.csv"

    def segment_checkpoint(self, segment: int) -> Path:
        """The checkpoint of segment `segment` (from 1); exists only while the training is not finished."""
        return self.path / ("checkpoint.ckpt" if segment == 1 else f"checkpoint-{segment}.ckpt")

    def end_of_segment(self, segment: int) -> "SegmentEnd":
        """The result of segment `segment` (from 1) of several, to continue from."""
        return SegmentEnd(self.path / f"stage-{segment}.safetensors", self.path / f"stage-{segment}.json")

    @property
    def end_of_base(self) -> "SegmentEnd":
        """The result of training the method's base; other methods with the same base can start from it."""
        return SegmentEnd(self.path / "base.safetensors", self.path / "base.json")

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of a finished training; the result of the base stays, for other methods."""
        for pattern in ("checkpoint*.ckpt", "stage-*.safetensors", "stage-*.json"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    @property
    def weights(self) -> Path:
        """Weights of the best epoch; exists once the training is finished."""
        return self.path / "weights.safetensors"

    @property
    def cost(self) -> Path:
        """Cost since the training was last started: seconds, those of the base, peak memory; whether it was resumed."""
        return self.path / "cost.json"


@dataclass(frozen=True)
class SegmentEnd:
    """The weights and history at the end of a segment, from which a training can continue.

    weights: Of the whole model. history: Up to there, as JSON, or as CSV of a finished run; written before the weights.
    seconds: How long the training took, if that is known.
    """

    weights: Path
    history: Path
    seconds: float | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the history. UsageError where the file is missing or damaged."""
        try:
            if self.history.suffix == ".csv":
                with self.history.open(encoding="utf-8", newline="") as file:  # pandas' numbers can differ in the last bit
                    return upgraded([{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)])
            return upgraded(json.loads(self.history.read_text(encoding="utf-8")))
        except KeyError as error:
            raise UsageError(f"The history {str(self.history)!r} of an earlier stage is damaged: it lacks {error}.") from None
        except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
            raise UsageError(f"The history {str(self.history)!r} of an earlier stage is missing or damaged: {error}.") from None

    def write(self, weights: "dict[str, Tensor]", rows: list[dict[str, Any]]) -> None:
        """Write both."""
        write_text(self.history, json.dumps(rows))  # Python's JSON has NaN, which scores can be
        save_weights(self.weights, weights)


def _value(column: str, text: str) -> Any:
    """Return the value of a cell of the history; an empty one is an undefined score."""
    if column == "stage":
        return text
    return int(text) if column == "epoch" else float(text or "nan")


def save_weights(path: Path, weights: "dict[str, Tensor]") -> None:
    """Write a state dict atomically as safetensors; equal weights give equal files. RunError where it cannot be written."""
    from safetensors.torch import save_file  # imports torch, which a message about a run's folder should not wait for

    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    try:
        write_atomically(path, lambda temporary: save_file(tensors, temporary))
    except SafetensorError as error:  # raised on a full disk
        raise RunError(f"The weights {str(path)!r} could not be written: {error}.") from error
