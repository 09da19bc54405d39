"""The files that training itself writes to a run's folder."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from balanced_mixup.errors import RunError
from balanced_mixup.files import write_atomically


@dataclass(frozen=True)
class TrainingFiles:
    """Paths of what training writes; `runs.run_folder.RunFolder` has the others."""

    path: Path

    @property
    def history(self) -> Path:
        """Loss, scores and learning rate of each epoch."""
        return self.path / "history.csv"

    @property
    def checkpoint(self) -> Path:
        """The state to resume from; there only while the training is not finished."""
        return self.path / "checkpoint.ckpt"

    @property
    def weights(self) -> Path:
        """Weights of the best epoch; there once the training is finished."""
        return self.path / "weights.safetensors"

    @property
    def cost(self) -> Path:
        """What the training took since it was last started: seconds, peak memory of process or GPU; whether it was resumed."""
        return self.path / "cost.json"


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write a state dict atomically as safetensors; equal weights give equal files. RunError where it cannot be written."""
    tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
    try:
        write_atomically(path, lambda temporary: save_file(tensors, temporary))
    except SafetensorError as error:  # what its writer makes of a full disk
        raise RunError(f"The weights {str(path)!r} could not be written: {error}.") from error
