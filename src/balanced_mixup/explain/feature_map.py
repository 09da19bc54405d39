"""The feature map of a classifier: features as (B, C, h, w), for any architecture of timm.

Notable decisions
- Features are maps with their channels first or last, or tokens, with or without class and register tokens among them.
- The map is taken where the features end, before pooling. It is taken at the end of an earlier stage where the class scores
  depend on no position of the last features (a class token has aggregated them before), or these are smaller than 4 x 4.
- Everything before the map is computed without a graph, so that it needs no more memory than a prediction.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from balanced_mixup.errors import UsageError
from balanced_mixup.heads import Head
from balanced_mixup.runs.classifier import Classifier

_COARSEST = 4  # positions per side; 2 x 2 would only show the quarter of the image

Restore = Callable[[Tensor], Tensor]


class Mapped(nn.Module):
    """A model of timm whose features pass, as a map (B, C, h, w), through an identity layer, `map`.

    The model itself is not changed.
    """

    def __init__(self, model: nn.Module, layer: str, head: Head) -> None:
        """Args: layer: name of the module that gives the features; "" for `forward_features`. head: that of the model."""
        super().__init__()
        self.model: Any = model  # timm's models have no common type
        self.head = head
        self.layer = layer
        self.map = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores (B, K), with the graph from the map on. NoMapError where the features are not a map."""
        with torch.no_grad():
            if self.layer:
                layer = self.model.get_submodule(self.layer)
                with layer.register_forward_hook(lambda module, args, out: self._through(out, len(images))):
                    outputs: Tensor = self.model(images)
            else:
                outputs = self.model.forward_head(self._through(self.model.forward_features(images), len(images)))
        return self.head.class_scores(outputs)

    def _through(self, features: Any, batch: int) -> Any:
        if isinstance(features, tuple):  # some stages also return the class token, or inner tokens of each position
            for i, tensor in enumerate(features):
                with suppress(NoMapError):
                    return (*features[:i], self._through(tensor, batch), *features[i + 1 :])
        found, restored = as_map(features, batch, getattr(self.model, "num_prefix_tokens", 0))
        torch.set_grad_enabled(True)  # until `forward` leaves its block
        return restored(self.map(found.detach().requires_grad_()))


class NoMapError(Exception):
    """Features are not a map."""


def find_map(classifier: Classifier) -> Mapped:
    """Return the model with its deepest map that the class scores depend on and that has enough positions, or else the finest.

    Raises:
        UsageError: It has none.
    """
    model, size = classifier.model, classifier.card.size
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(classifier.device)
    finest, side = None, 0
    for layer in _layers(model):
        mapped = Mapped(model, layer, classifier.head)
        places = _positions(mapped, noise)
        if places >= _COARSEST:
            return mapped
        if places > side:
            finest, side = mapped, places
    if finest is None:
        raise UsageError(
            f"Expected a model of timm whose class scores depend on a feature map, but {classifier.card.backbone} has none "
            "that could be found, or its head was never trained."
        )
    return finest


def as_map(features: Any, batch: int, prefix: int) -> tuple[Tensor, Restore]:
    """Return features as a map (B, C, h, w), and the inverse of that conversion.

    Images are square, so maps are: of four dimensions the two equal ones are the positions, and of tokens (B, N, C) a square
    number are, the last ones.

    Args:
        features: What a stage of a model gives.
        batch: B.
        prefix: Number of prefix tokens of the model; not all of its stages have them.

    Raises:
        NoMapError: They have no such shape.
    """
    shape = features.shape if isinstance(features, Tensor) and len(features) == batch else ()
    if len(shape) == 4 and shape[2] == shape[3]:
        return features, lambda found: found
    if len(shape) == 4 and shape[1] == shape[2]:
        return features.permute(0, 3, 1, 2), lambda found: found.permute(0, 2, 3, 1)
    if len(shape) == 3:
        for others in (prefix, 0, 1):
            if math.isqrt(max(0, shape[1] - others)) ** 2 == shape[1] - others > 0:
                return _tokens_as_map(features, others)
    raise NoMapError


def _tokens_as_map(tokens: Tensor, others: int) -> tuple[Tensor, Restore]:
    batch, count, channels = tokens.shape
    side = math.isqrt(count - others)
    first, places = tokens[:, :others], tokens[:, others:]
    return (
        places.transpose(1, 2).reshape(batch, channels, side, side),
        lambda found: torch.cat([first, found.flatten(2).transpose(1, 2)], dim=1),
    )


def _layers(model: nn.Module) -> list[str]:
    """Return where a model of timm may have its map, the deepest first: the end of its features, then of each stage."""
    if not hasattr(model, "forward_features"):
        return []
    modules, found = dict(model.named_modules()), [""]
    if hasattr(model, "reroll"):  # Hiera: the tokens of its earlier stages are not in spatial order
        return found
    for stage in reversed([stage["module"] for stage in getattr(model, "feature_info", ())]):
        # A list is never called, its last block is.
        last = f"{stage}.{len(blocks) - 1}" if isinstance(blocks := modules.get(stage), nn.ModuleList) else stage
        found += [last] if last in modules else []
    return found


def _positions(mapped: Mapped, images: Tensor) -> int:
    """Return the positions per side of the map; 0 if there is none, or the class scores do not depend on it."""
    seen: list[Tensor] = []
    with mapped.map.register_forward_hook(lambda module, args, out: seen.append(out)):
        try:
            scores = mapped(images)
        except NoMapError:
            return 0
    if not seen:
        return 0
    with torch.enable_grad():
        score = (scores * torch.arange(1, scores.shape[1] + 1, device=scores.device)).sum()
    (gradient,) = torch.autograd.grad(score, seen, allow_unused=True)
    return seen[0].shape[2] if gradient is not None and bool(gradient.any()) else 0
