"""A trained classifier: the weights of a run and everything needed to predict with them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from balanced_mixup.data.batches import EvalBatches
from balanced_mixup.data.pixels import Pixels, as_pixels
from balanced_mixup.errors import RunError, UsageError, shown
from balanced_mixup.heads import Head, head_from_dict
from balanced_mixup.progress import progress_bar
from balanced_mixup.runs.consistency import check_model
from balanced_mixup.runs.digests import check_digest
from balanced_mixup.runs.formats import damaged
from balanced_mixup.runs.model_card import ModelCard
from balanced_mixup.runs.predicted_images import predict_images
from balanced_mixup.runs.predictions import ImagePredictions
from balanced_mixup.runs.prepared_images import ImageLike
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.backbone_names import check_name, plugin_backbones
from balanced_mixup.training.backbones import apply_head, build, head_layer, set_head
from balanced_mixup.training.features import IMAGE, MIRRORED, FeatureExtractor
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.preprocessing import Preprocessing, flip_averaged

_VIEWS = (IMAGE, MIRRORED)  # whose probabilities are averaged


class Classifier:
    """A model in evaluation mode that gives class probabilities.

    classifier = Classifier.load("runs/mine")
    predictions = classifier.predict(["a.jpg", "folder"])   # or Pillow's images, or arrays uint8 (H, W, 3): any size
    probabilities = classifier.probabilities(pixels)     # prepared already: uint8 (N, size, size, 3) -> float32 (N, K)
    """

    def __init__(self, model: nn.Module, card: ModelCard, device: torch.device | str = "cpu") -> None:
        """Args: model: images (B, 3, size, size) to outputs of its head. card: its description. device: where to compute."""
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
            ChangedFileError: They are not those that were written with the run.

        Nothing but the run's own files is read: a received run names an architecture, and no weights elsewhere.
        """
        folder = RunFolder(Path(run)).require_finished()
        card = ModelCard.read(folder.model)
        check_name(card.backbone, f"the backbone in {str(folder.model)!r}")
        head = head_from_dict(card.head)
        weights = _read_weights(folder.weights)
        _check_fit(weights, card, head, folder)
        with torch.random.fork_rng([]):  # initial weights must not consume the caller's random state
            model = _built(card, head, folder)
        model.load_state_dict(weights)
        check_digest(folder, folder.recipe, folder.model, folder.weights)
        check_model(folder, card)
        return cls(model, card, device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def __repr__(self) -> str:
        """Return a one-line description."""
        card = self.card
        return f"Classifier({card.backbone}, {len(card.classes)} classes, {card.size} px, on {self.device})"

    def predict(
        self, images: ImageLike | Iterable[ImageLike], *, flip: bool = True, exclude_bad: bool = False
    ) -> ImagePredictions:
        """Predict images, which are decoded and resized as in training.

        The probabilities are the model's own; `balanced_mixup.predict` corrects them as `bmixup predict` does.

        Args:
            images: One image or several: paths of files and folders, images of Pillow, arrays uint8 (H, W, 3) RGB or (H, W)
                grey, of any size, also mixed; an array uint8 (N, H, W, 3) is N images.
            flip: Average over the image and its mirror image, as in the paper.
            exclude_bad: Leave out images that cannot be read, with a warning, instead of stopping.

        Raises:
            DataError: Images are missing or cannot be read; lists all of them.
            UsageError: Something is not an image, or an array is of another shape or type.
        """
        return predict_images(self, images, flip=flip, exclude_bad=exclude_bad)

    def probabilities(
        self,
        pixels: Pixels | npt.NDArray[np.uint8],
        rows: npt.NDArray[np.int64] | None = None,
        *,
        flip: bool = True,
        watched: bool = True,
    ) -> npt.NDArray[np.float32]:
        """Return the probability of each class.

        Args:
            pixels: N images of (size, size), as `Pixels` or as an array uint8 (N, size, size, 3).
            rows: Which of them, in which order; all if not given.
            flip: Average over the image and its mirror image, as in the paper.
            watched: Show a progress bar.

        Returns:
            float32 (len(rows), K), rows sum to 1.

        Raises:
            RunError: The model's outputs are not finite.
        """
        pixels = as_pixels(_checked(pixels, self.card.size))
        rows = np.arange(pixels.shape[0]) if rows is None else rows
        out = np.empty((len(rows), len(self.card.classes)), np.float32)
        done = 0
        with torch.inference_mode(), progress_bar("Predicting", len(rows), watched=watched) as advance:
            for batch in EvalBatches(pixels, rows, device=self.device):
                images = self.preprocessing(batch.to(self.device))
                found = flip_averaged(lambda images: self.head.probabilities(self.model(images)), images, flip=flip)
                out[done : done + len(batch)] = found.cpu().numpy()
                done += len(batch)
                advance(len(batch))
        return _finite(out)

    def probabilities_by_features(self, data: TrainingData, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the probabilities of each class, averaged over image and mirror image, by features that may be cached.

        Args:
            data: N images.
            rows: Which of them, in which order.

        Returns:
            float32 (len(rows), K), rows sum to 1.

        Raises:
            RunError: The model's outputs are not finite.
        """
        features = FeatureExtractor(self.model, self.card.backbone, self.preprocessing, self.device).of(data, rows, _VIEWS)
        with torch.inference_mode():
            outputs = apply_head(head_layer(self.model), features.to(self.device).flatten(0, 1))
            found = self.head.probabilities(outputs).reshape(len(rows), len(_VIEWS), -1).mean(dim=1)
        return _finite(found.cpu().numpy())


def _finite(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if not np.isfinite(probabilities).all():
        raise RunError("The model's outputs are not finite: its weights are damaged. Restore the run from a copy.")
    return probabilities


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from None


def _built(card: ModelCard, head: Head, folder: RunFolder) -> nn.Module:
    """Return the model of a card, with initial weights."""
    try:
        model: nn.Module = build(card.backbone, len(card.classes), card.size)
        set_head(model, head, len(card.classes))
    except UsageError:
        raise
    except Exception as error:  # whatever an architecture raises about a size or a number of classes that it cannot have
        raise damaged(folder.model, f"{card.backbone} cannot be built as it says ({error!r:.200})") from error
    return model


def _check_fit(weights: dict[str, Tensor], card: ModelCard, head: Head, folder: RunFolder) -> None:
    """Raise UsageError where weights are not those of the model, before that takes any memory."""
    if card.backbone in plugin_backbones():
        return
    with torch.device("meta"):
        expected = _built(card, head, folder).state_dict()
    for name, tensor in expected.items():
        if name not in weights or weights[name].shape != tensor.shape:
            got = f"it has the shape {tuple(weights[name].shape)}" if name in weights else "it is not there"
            raise _damaged(folder.weights, f"expected {name} of the shape {tuple(tensor.shape)}, but {got}")
    if more := sorted(weights.keys() - expected.keys()):
        raise _damaged(folder.weights, f"{card.backbone} has no tensor {shown(more[0])}")


def _damaged(path: Path, reason: object) -> UsageError:
    return UsageError(f"The weights {str(path)!r} are damaged or of another model: {str(reason).splitlines()[0]:.300}")


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
