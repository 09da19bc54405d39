"""What a training needs of this machine, checked before it opens an image, and as far as possible before torch is imported."""

from importlib.util import find_spec
from pathlib import Path

from balanced_mixup.errors import UsageError
from balanced_mixup.training.backbone_names import check_name, plugin_backbones
from balanced_mixup.training.recipe import Execution, Recipe

_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}  # of trackers that have several


def check_machine(recipe: Recipe) -> None:
    """Raise UsageError where the backbone, its weights, the tracker's package or the devices are not there."""
    check_name(recipe.backbone)
    check_weights(recipe.backbone, recipe.weights)
    check_logger(recipe)
    check_devices(recipe)


def check_weights(backbone: str, weights: str) -> None:
    """Raise UsageError where `weights` is neither a name nor a file; a plugin's backbone may know other names."""
    named = weights in ("auto", "package", "hub", "none") or backbone in plugin_backbones()
    if not named and not Path(weights).is_file():
        raise UsageError(f"Expected `weights` to be auto, package, hub, none or a file, but there is no file {weights!r}.")


def check_logger(recipe: Execution) -> None:
    """Raise UsageError where the package of the experiment tracker is not installed."""
    name = recipe.logger
    if name is not None and not any(map(_is_installed, _PACKAGES.get(name, (name,)))):
        raise UsageError(f"`--logger {name}` needs {name}, which is not installed: pip install 'balanced-mixup[{name}]'.")


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of that name, as W&B leaves one, is no package


def check_devices(recipe: Execution) -> None:
    """Raise UsageError where this machine lacks the accelerator, or that many devices of it."""
    if recipe.accelerator == "cpu" or (recipe.accelerator == "auto" and recipe.devices == 1):
        return
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    on_mps = torch.backends.mps.is_available()
    there = {"gpu": gpus > 0 or on_mps, "mps": on_mps}
    if not there.get(recipe.accelerator, True):
        raise UsageError(
            f"This machine cannot compute with `accelerator` {recipe.accelerator!r}: torch {torch.__version__} finds no such "
            "device. Use `--accelerator cpu`, or omit it."
        )
    if gpus and recipe.accelerator != "mps" and recipe.devices > gpus:
        raise UsageError(f"Expected `devices` to be at most {gpus}, the GPUs of this machine, but got {recipe.devices}.")
