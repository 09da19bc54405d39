"""A trained classifier: the weights of a run and everything needed to predict with them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from balanced_mixup.data.batches import EvalBatches
from balanced_mixup.data.pixels import Pixels, as_pixels
from balanced_mixup.errors import UsageError
from balanced_mixup.heads import head_from_dict
from balanced_mixup.progress import progress_bar
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predictions import ImagePredictions
from balanced_mixup.runs.prepared_images import ImageLike, prepare_images
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.backbones import build, set_head
from balanced_mixup.training.preprocessing import Preprocessing, flip_averaged


class Classifier:
    """A model in evaluation mode that gives class probabilities.

    classifier = Classifier.load("runs/mine")
    predictions = classifier.predict(["a.jpg", "folder"])   # or Pillow's images, or arrays uint8 (H, W, 3): any size
    probabilities = classifier.probabilities(pixels)     # prepared already: uint8 (N, size, size, 3) -> float32 (N, K)
    """

    def __init__(self, model: nn.Module, card: ModelCard, device: torch.device | str = "cpu") -> None:
        """Args: model: images (B, 3, size, size) to logits (B, K). card: its description. device: where to compute."""
        self.card = card
        self.device = torch.device(device)
        self.model = model.to(memory_format=torch.channels_last).to(self.device).eval()
        self.head = head_from_dict(card.head)
        self.preprocessing = Preprocessing(card.mean, card.std).to(self.device)

    @classmethod
    def load(cls, run: Path | str, device: torch.device | str | None = None) -> Self:
        """Load the classifier of a finished run.

        Args:
            run: The run's folder.
            device: Where to compute; a GPU if there is one, when not given.

        Raises:
            UsageError: It is not the folder of a finished run, or its files are damaged.
        """
        folder = RunFolder(Path(run)).require_finished()
        card = ModelCard.read(folder.model)
        with torch.random.fork_rng([]):  # initial weights must not consume the caller's random state
            model = build(card.backbone, len(card.classes), card.size)
            set_head(model, head_from_dict(card.head), len(card.classes))
        try:
            model.load_state_dict(load_file(folder.weights))
        except (SafetensorError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"The weights {str(folder.weights)!r} are damaged or of another model: {reason}") from None
        return cls(model, card, device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def __repr__(self) -> str:
        """Return a one-line description."""
        card = self.card
        return f"Classifier({card.backbone}, {len(card.classes)} classes, {card.size} px, on {self.device})"

    def predict(self, images: ImageLike | Iterable[ImageLike], *, flip: bool = True) -> ImagePredictions:
        """Predict images, which are decoded and resized as in training.

        The probabilities are the model's own; `balanced_mixup.predict` corrects them as `bmixup predict` does.

        Args:
            images: One image or several: paths of files and folders, images of Pillow, arrays uint8 (H, W, 3) RGB or (H, W)
                grey, of any size, also mixed; an array uint8 (N, H, W, 3) is N images.
            flip: Average over the image and its mirror image, as in the paper.

        Raises:
            DataError: Images are missing or cannot be read; lists all of them.
            UsageError: Something is not an image, or an array is of another shape or type.
        """
        names, pixels = prepare_images(images, self.card)
        return ImagePredictions(tuple(names), self.probabilities(pixels, flip=flip), self.card.classes)

    def probabilities(
        self, pixels: Pixels | npt.NDArray[np.uint8], rows: npt.NDArray[np.int64] | None = None, *, flip: bool = True
    ) -> npt.NDArray[np.float32]:
        """Return the probability of each class.

        Args:
            pixels: N images of (size, size), as `Pixels` or as an array uint8 (N, size, size, 3).
            rows: Which of them, in which order; all if not given.
            flip: Average over the image and its mirror image, as in the paper.

        Returns:
            float32 (len(rows), K), rows sum to 1.
        """
        pixels = as_pixels(_checked(pixels, self.card.size))
        rows = np.arange(pixels.shape[0]) if rows is None else rows
        out = np.empty((len(rows), len(self.card.classes)), np.float32)
        done = 0
        with torch.inference_mode(), progress_bar("Predicting", len(rows)) as advance:
            for batch in EvalBatches(pixels, rows, device=self.device):
                images = self.preprocessing(batch.to(self.device))
                found = flip_averaged(lambda images: self.head.probabilities(self.model(images)), images, flip=flip)
                out[done : done + len(batch)] = found.cpu().numpy()
                done += len(batch)
                advance(len(batch))
        return out


def _checked(pixels: Any, size: int) -> Any:
    """Check that an array is of prepared pixels."""
    shape, dtype = getattr(pixels, "shape", None), getattr(pixels, "dtype", np.dtype(np.uint8))
    if shape is None or len(shape) != 4 or tuple(shape[1:]) != (size, size, 3) or dtype != np.uint8:
        got = f"{dtype} of shape {tuple(shape)}" if shape is not None else type(pixels).__name__
        raise UsageError(
            f"Expected `pixels` to be uint8 of shape (N, {size}, {size}, 3), as the model was trained on, but got {got}. "
            "`Classifier.predict` takes images of any size."
        )
    return pixels
