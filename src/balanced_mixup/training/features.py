"""Features of all images, computed once, for stages that train the head alone: seconds instead of minutes.

An image has several views: itself, its mirror image (for predictions), and augmented copies (for training). The features of
each view are those of a fixed backbone in evaluation mode, in full precision, and a function of the image's content alone; so
they are cached (`data.feature_store`) and shared by all folds, methods and seeds.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import Tensor, nn

from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS
from balanced_mixup.data.batches import EvalBatches, eval_batch_size
from balanced_mixup.data.feature_store import Compute, FeatureStore, Vectors
from balanced_mixup.errors import UsageError
from balanced_mixup.progress import progress_bar
from balanced_mixup.randomness import uniforms
from balanced_mixup.training.backbones import apply_head, features_of, head_layer
from balanced_mixup.training.inputs import TrainingData
from balanced_mixup.training.preprocessing import Preprocessing, scaled

Rows = npt.NDArray[np.int64]

_MOST = 64  # images in a batch: with more a CPU is no faster


class StoredFeatures:
    """Features in place of pixels: float32 (N, C, F), of each image and of its C - 1 augmented copies."""

    def __init__(self, features: Tensor) -> None:
        """Args: features: (N, C, F)."""
        self.values = features

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, F, 1)."""
        n, copies, features = self.values.shape
        return (n, copies, features, 1)

    def gather(self, rows: Rows) -> Tensor:
        """Return float32 (len(rows), C, F), a copy."""
        return self.values[torch.from_numpy(rows)]

    def subset(self, rows: Rows) -> "StoredFeatures":
        """Return those of some images."""
        return StoredFeatures(self.gather(rows))


@dataclass(frozen=True)
class View:
    """A view of an image: itself, its mirror image, or an augmented copy.

    mirrored: It is the mirror image. augmentation: Of a copy, preset by name. seed, copy: Decide about the copy's augmentation,
    together with the image's content.
    """

    mirrored: bool = False
    augmentation: str = "none"
    seed: int = 0
    copy: int | None = None

    @property
    def key(self) -> str:
        """What distinguishes it from the other views of an image."""
        if self.copy is None:
            return "mirrored" if self.mirrored else "image"
        preset = hashlib.blake2b(repr(AUGMENTATIONS[self.augmentation]).encode(), digest_size=8).hexdigest()
        return f"{preset}-{self.seed}-{self.copy}"

    def __call__(self, images: Tensor, digests: Sequence[str], preprocessing: Preprocessing) -> Tensor:
        """Return the normalised view of images (B, 3, H, W) in 0..1, whose content has these digests."""
        if self.copy is None:
            return preprocessing.normalised(images.flip(3) if self.mirrored else images)
        positions = np.array([int(digest[:12], 16) for digest in digests])
        numbers = uniforms((positions * N_UNIFORMS)[:, None] + np.arange(N_UNIFORMS), self.seed, "features", self.copy)
        drawn = torch.from_numpy(numbers.astype(np.float32)).to(images.device)
        return AUGMENTATIONS[self.augmentation](images, drawn, preprocessing.mean, preprocessing.std)


IMAGE, MIRRORED = View(), View(mirrored=True)


@dataclass(frozen=True)
class FeatureExtractor:
    """A fixed backbone that computes features, or takes them from the cache.

    Args:
        model: The backbone with its head.
        name: Of the backbone.
        preprocessing: Of the backbone.
        device: Where to compute.
    """

    model: nn.Module
    name: str
    preprocessing: Preprocessing
    device: torch.device

    def of(self, data: TrainingData, rows: Rows, views: Sequence[View] = (IMAGE,)) -> Tensor:
        """Return the features of some images of `data` in each of the C views, float32 (len(rows), C, F).

        Raises:
            UsageError: The architecture's outputs are no function of its features alone.
            RunError: The cache cannot be written.
        """
        self.model.to(memory_format=torch.channels_last).to(self.device).eval()
        self.preprocessing.to(self.device)
        length = self._checked_length(data.pixels.shape[1])
        # Images with the same content share their features.
        digests = [f"{row:012x}" if data.cached is None else data.cached.digests[row] for row in rows.tolist()]
        row_of = dict(zip(reversed(digests), reversed(rows.tolist()), strict=True))
        items = [(digest, view) for view in views for digest in row_of]

        def compute(missing: list[int]) -> Iterator[tuple[list[int], Vectors]]:
            with progress_bar("Computing features", len(missing)) as advance:
                for view in views:
                    wanted = [position for position in missing if items[position][1] == view]
                    names = [items[position][0] for position in wanted]
                    for start, found in self._computed(data, [row_of[name] for name in names], names, view):
                        yield wanted[start : start + len(found)], found
                        advance(len(found))

        vectors = self._cached(data, length, [f"{digest}/{view.key}" for digest, view in items], compute)
        found = torch.from_numpy(vectors).reshape(len(views), len(row_of), length)
        place = {digest: number for number, digest in enumerate(row_of)}
        return found[:, [place[digest] for digest in digests]].transpose(0, 1).contiguous()

    def _cached(self, data: TrainingData, length: int, keys: list[str], compute: Compute) -> Vectors:
        if data.cached is None or data.cached.directory is None or data.cached.origin is None:
            vectors = np.empty((len(keys), length), np.float32)
            for positions, found in compute(list(range(len(keys)))):
                vectors[positions] = found
            return vectors
        made_by = {
            "backbone": self.name,
            "length": length,
            "weights": self._weights_digest(),
            "mean": self.preprocessing.mean.tolist(),
            "std": self.preprocessing.std.tolist(),
            "device": self.device.type,
            "torch": torch.__version__,
            "timm": timm.__version__,
        }
        store = FeatureStore.under(data.cached.directory, data.cached.origin, data.pixels.shape[1], made_by)
        return store.read(keys, compute)

    def _computed(self, data: TrainingData, rows: list[int], digests: list[str], view: View) -> Iterator[tuple[int, Vectors]]:
        """Yield the features of one view of images, piece by piece, each with the position of its first."""
        # All batches are full: with another number of images a convolution may add in another order, and differ in last bits.
        size = min(_MOST, eval_batch_size(*data.pixels.shape[1:3]))
        filled = np.array(rows + rows[:1] * (-len(rows) % size), np.int64)
        names, start = digests + digests[:1] * (len(filled) - len(rows)), 0
        with torch.inference_mode():
            for pixels in EvalBatches(data.pixels, filled, size, device=self.device):
                images = view(scaled(pixels.to(self.device)), names[start : start + size], self.preprocessing)
                found = features_of(self.model, images).float().cpu().numpy()
                yield start, found[: len(rows) - start]
                start += size

    def _checked_length(self, size: int) -> int:
        """Return F, once it is sure that the head maps features to the model's outputs."""
        images = torch.linspace(-1, 1, 2 * 3 * size * size, device=self.device).reshape(2, 3, size, size)
        with torch.inference_mode():
            features = features_of(self.model, images)
            outputs, again = self.model(images), apply_head(head_layer(self.model), features)
        if outputs.shape != again.shape or not torch.allclose(outputs, again, rtol=1e-3, atol=1e-4):
            raise UsageError(
                f"The head of {type(self.model).__name__} cannot be applied to precomputed features: it cannot be trained "
                "alone."
            )
        return features.shape[1]

    def _weights_digest(self) -> str:
        """Return a hash of all tensors but the head's."""
        head = head_layer(self.model)
        prefix = next(name for name, module in self.model.named_modules() if module is head) + "."
        found = hashlib.blake2b(digest_size=16)
        for name, tensor in self.model.state_dict().items():
            if not name.startswith(prefix):
                found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return found.hexdigest()

    def training_data(self, data: TrainingData, copies: Sequence[View] = ()) -> TrainingData:
        """Return the training and validation images as features (`StoredFeatures`), the training rows first.

        Args:
            data: Images.
            copies: Views that training takes in place of the image itself.
        """
        train = self.of(data, data.train, (IMAGE, *copies))
        val = self.of(data, data.val).expand(-1, train.shape[1], -1)  # of validation images there are no copies
        every = np.arange(len(train) + len(val))
        labels = data.labels[np.concatenate([data.train, data.val])]
        stored = StoredFeatures(torch.cat([train, val]))
        return TrainingData(stored, labels, every[: len(train)], every[len(train) :], data.num_classes, data.ordinal)
