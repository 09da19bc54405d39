"""The recipe: everything a run depends on, in one typed, frozen object.

Command-line flags, YAML keys and Python keywords all come from the fields of `Recipe`. A named recipe is a set of values for
them; YAML settings override it, and flags or keywords override both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError

from balanced_mixup.data.augmentation_presets import PRESETS
from balanced_mixup.data.settings import SPLIT_VERSION, CacheKind, DataSettings, as_text
from balanced_mixup.errors import UsageError, nearest, shown
from balanced_mixup.methods import METHODS, BalancedMixUp, Method, get_method, methods_with
from balanced_mixup.methods.base import Optimizer, Schedule
from balanced_mixup.metrics import METRICS
from balanced_mixup.settings_file import load_yaml as load_yaml
from balanced_mixup.words import listed


def _known_augmentation(name: str) -> str:
    return _one_of(name, PRESETS, "augmentation")


def _known_monitor(name: str | None) -> str | None:
    return None if name is None else _one_of(name, METRICS, "monitor")


def _known_recipe(name: str) -> str:
    return _one_of(name, RECIPES, "recipe")


def _one_of(name: str, known: Any, setting: str) -> str:
    if name not in known:
        raise UsageError(f"Expected `{setting}` to be one of {', '.join(known)}, but got {shown(name)}.{nearest(name, known)}")
    return name


class Placement(BaseModel):
    """Where a process computes and caches its images. May differ when a run is resumed: it affects the last bits at most."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field("auto", description="Where to compute.")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="CPU threads of a process; if not given as many as there are cores, in a benchmark 1. Results agree bit "
        "for bit only with the same number; a resumed run keeps its own.",
    )
    cache: CacheKind = Field(
        "disk",
        description="Where decoded images are cached: `disk`, for later trainings (`bmixup cache`); `ram`; `device`, on disk "
        "and in GPU memory; or `none`, decoded at every use.",
    )
    cache_dir: Path | None = Field(
        None, description="Folder of the decoded images; $BMIXUP_CACHE_DIR or the user's cache folder if not given."
    )


class Execution(Placement):
    """Where a run computes, on how many devices, and where it caches its images. May differ when it is resumed, too."""

    devices: int = Field(
        1, ge=1, description="Number of processes per machine, one GPU each (with `--accelerator cpu` a share of the cores)."
    )
    num_nodes: int = Field(1, ge=1, description="Number of machines, when started by torchrun or SLURM.")
    logger: Literal["tensorboard", "mlflow", "wandb"] | None = Field(
        None, description="Experiment tracker that every epoch is logged to; none if not given."
    )

    @property
    def processes(self) -> int:
        """Number of processes, on all machines together."""
        return self.devices * self.num_nodes


PLACES = ("data", "val_data", "test_data", "images", "split_file")  # of the data; a run is identified by their content
CHANGEABLE = (*PLACES, "max_megapixels", *Execution.model_fields)  # when a run is resumed


class Recipe(DataSettings, Execution):
    """Everything a run depends on: the data, the method, the backbone, how it is trained, and where."""

    recipe: Annotated[str, AfterValidator(_known_recipe)] = Field(
        "default", description="Named set of settings that the others start from (`bmixup list recipes`)."
    )
    size: int = Field(128, ge=32, le=4096, description="Side in pixels of the square that every image is resized to.")
    val_fraction: float = Field(
        0.1,
        gt=0,
        lt=0.9,
        description="Fraction of the images for validation, which chooses the epoch, if the data have no validation split.",
    )
    test_fraction: float = Field(
        0.2,
        ge=0,
        lt=0.9,
        description="Fraction of the images for test, scored once at the end, if the data have no split; 0 for none.",
    )
    split_version: int = Field(
        SPLIT_VERSION,
        ge=1,
        le=SPLIT_VERSION,
        description="How splits are made: 2 shares out all classes and the images as a whole, group by group; 1 looks at one "
        "class of a group, and makes the splits of runs from before there were versions.",
    )

    method: SerializeAsAny[Method] = Field(
        default_factory=BalancedMixUp, description="Training method (`bmixup list methods`)."
    )

    backbone: str = Field("tf_efficientnet_lite0", description="Any architecture of timm, by name.")
    weights: str = Field(
        "auto",
        description="ImageNet weights: `package` (installed: tf_efficientnet_lite0; lite1, lite2 by the extra `backbones`), "
        "`hub` (download), `none`, or a file, such as the weights.safetensors of a run; `auto` is `package` if available, else "
        "`hub`.",
    )

    train: Literal["all", "head"] = Field(
        "all",
        description="`all`, or the `head` alone: the backbone keeps the weights that it starts with, and its features are "
        "computed once for all trainings (`bmixup cache`), so that one takes seconds.",
    )
    epochs: int = Field(12, ge=1, description="Passes over the training images.")
    batch_size: int = Field(32, ge=1, description="Images per step, over all devices.")
    optimizer: Optimizer = Field("adamw", description="Optimiser.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled for AdamW, an L2 penalty for SGD.")
    sam_rho: float = Field(
        0.0,
        ge=0,
        description="Sharpness-aware minimisation: how far up the slope the gradient of a step is taken, 0.05 in the paper "
        "(Foret et al., ICLR 2021). A step takes twice the time; 0 for none.",
    )
    ema_decay: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Decay of the exponential moving average of the weights, which is validated and kept; 0 for none.",
    )
    schedule: Schedule = Field(
        "cosine",
        description="Learning rate: warm-up and one cosine to 0; a cosine to 0 every `cycle_epochs`; a tenth after "
        "`plateau_patience` epochs without improvement; or constant.",
    )
    warmup: float = Field(0.15, ge=0, lt=1, description="Fraction of all steps for the warm-up of `cosine`.")
    cycle_epochs: int = Field(10, ge=1, description="Epochs per cycle of `cyclic`.")
    plateau_patience: int = Field(2, ge=0, description="Epochs without a better validation score that `plateau` tolerates.")
    patience: int | None = Field(
        None, ge=1, description="Early stopping after this many epochs without a better validation score."
    )
    monitor: Annotated[str | None, AfterValidator(_known_monitor)] = Field(
        None, description="Validation score that chooses the epoch; quadratic_kappa for ordinal classes, else mcc."
    )
    augmentation: Annotated[str, AfterValidator(_known_augmentation)] = Field(
        "light",
        description="Preset by name: none, light (flips, slight brightness and contrast), paper, strong.",
    )
    feature_copies: int = Field(
        0,
        ge=0,
        description="Augmented copies of each training image for stages that train the head alone, which take them in its "
        "place; 0 for none.",
    )
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(as_text)] = Field(
        "auto", description="Numerical precision; auto is bf16 on GPUs that support it, else 32."
    )
    compile: bool = Field(False, description="Compile the model with torch.compile: a slow start, but faster steps on GPUs.")
    seed: int = Field(0, ge=0, description="Seed of the split and of all randomness in training.")

    def monitored(self, ordinal: bool) -> str:
        """Return the validation score that chooses the epoch, given whether the classes are ordinal."""
        return self.monitor or ("quadratic_kappa" if ordinal else "mcc")

    def settings(self) -> dict[str, Any]:
        """Return all settings by name, ready for JSON: the method by its name, its settings beside those of the recipe."""
        settings = self.model_dump(mode="json", exclude={"method"})
        return {**settings, "method": self.method.name, **self.method.settings()}

    def to_yaml(self) -> str:
        """Return the recipe as YAML that `load_yaml` and `make_recipe` read back."""
        return yaml.safe_dump({"format": FORMAT, **self.settings()}, sort_keys=False, allow_unicode=True)


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
        "ema_decay": 0.0,
        "schedule": "cyclic",
        "augmentation": "paper",
        "weight_per": "batch",
    },
}
RECIPE_SUMMARIES: Mapping[str, str] = {
    "default": "good results on small data in little time: AdamW, one cosine, EfficientNet-Lite0 at 128 px, weight per sample",
    "paper": "the paper's settings: SGD 0.01, batch 8, 512 px, 30 epochs, cyclic cosine, MobileNet V2, weight per batch",
}


FORMAT = 3  # of recipe.yaml
_WITH_SPLIT_VERSION = 3  # the first format that has it, and near copies
_MOST_PROBLEMS = 20  # in a message
_DEFAULT_METHOD = BalancedMixUp().name
_PARTS = ("sampling", "mix", "loss")  # given without a method they are combined
_OLD_NAMES = {"weight_average": "ema_decay", "focal_gamma": "gamma", "cb_beta": "beta"}
_OF_ALL_METHODS = {"alpha", "weight_per", "gamma", "beta"}  # in recipes of format 1 for every method


def make_recipe(*layers: Mapping[str, Any]) -> Recipe:
    """Return the recipe: the named set that `layers` refer to, overridden by the layers, the last one taking precedence.

    A layer holds settings by name, including those of the method; `method` is a name or a `Method`. Names and recipe.yaml files
    of older versions are read, too.

    Raises:
        UsageError: A setting is unknown (names the nearest), belongs to another method (names it), or has a value that is not
            allowed; all of them are in the message.
    """
    settings: dict[str, Any] = {}
    for layer in layers:
        settings.update(current_settings(layer))
    base = RECIPES.get(name, {}) if isinstance(name := settings.get("recipe", "default"), str) else {}
    problems: list[str] = []
    method, others = _method_of(settings, base, problems)
    try:
        chosen = {} if method is None else {"method": method}
        recipe = Recipe.model_validate({**{k: v for k, v in base.items() if k in Recipe.model_fields}, **others, **chosen})
    except ValidationError as error:
        problems.append(explain(error))
    if problems:
        raise UsageError("\n".join(problems))
    _check_together(recipe)
    return recipe


def current_settings(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer in the current format: a `Method` as its name and settings, names and files of older versions converted.

    Raises:
        UsageError: It was written by a newer version, or the `Method` is not the one that is registered by its name.
    """
    settings = {_OLD_NAMES.get(key, key): value for key, value in layer.items()}
    if isinstance(method := settings.get("method"), Method):
        if METHODS.get(method.name) is not type(method):
            raise UsageError(
                f"{type(method).__name__} is not the method that is registered as {method.name!r}: give it another name and "
                "decorate its class with `@register`."
            )
        settings = {**method.settings(), **settings, "method": method.name}
    written = settings.pop("format", None)
    if isinstance(written, int) and written > FORMAT:
        raise UsageError(
            f"The recipe has the format {written}, and this version of balanced-mixup reads up to {FORMAT}: it was written by "
            "a newer one. Upgrade balanced-mixup."
        )
    of_format_1 = written is None and settings.keys() >= _OF_ALL_METHODS
    if of_format_1 or (isinstance(written, int) and written < _WITH_SPLIT_VERSION):
        settings.setdefault("split_version", 1)
        settings.setdefault("near_copies", False)
    if of_format_1:
        settings = only_of_method(str(settings.get("method", _DEFAULT_METHOD)), settings)
    return settings


def only_of_method(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those that only other methods have."""
    own = get_method(method).model_fields
    return {name: value for name, value in settings.items() if name in own or name == "method" or not methods_with(name)}


def _method_of(
    settings: Mapping[str, Any], base: Mapping[str, Any], problems: list[str]
) -> tuple[Method | None, dict[str, Any]]:
    """Return the method, None if invalid, and the settings of the recipe; appends to `problems`."""
    combined = any(part in settings for part in _PARTS)
    name = settings.get("method", "combined" if combined else base.get("method", _DEFAULT_METHOD))
    others = {key: value for key, value in settings.items() if key != "method" and not _is_of_method(key)}
    given = {key: value for key, value in settings.items() if _is_of_method(key)}
    try:
        method = get_method(str(name))
    except UsageError as error:
        problems.append(str(error))
        return None, others
    own = {key: value for key, value in base.items() if _is_of_method(key) and key in method.model_fields}
    for key in list(given):
        if key not in method.model_fields:
            del given[key]
            owners = listed(methods_with(key))
            problems.append(f"`{key}` is a setting of {owners}, not of the method {name}.")
    try:
        return method(**{**own, **given}), others
    except ValidationError as error:
        problems.append(explain(error))
        return None, others


def _is_of_method(setting: str) -> bool:
    return setting not in Recipe.model_fields and bool(methods_with(setting))


def _check_together(recipe: Recipe) -> None:
    """Check settings that depend on each other, once all layers are merged."""
    if recipe.val_fraction + recipe.test_fraction >= 0.9:
        raise UsageError(
            "Expected `val_fraction` + `test_fraction` to leave more than a tenth for training, but got "
            f"{recipe.val_fraction} + {recipe.test_fraction}."
        )
    if recipe.batch_size % recipe.processes:
        raise UsageError(
            "Expected `batch_size`, the images per step over all devices, to be a multiple of their number, "
            f"{recipe.processes}, but got {recipe.batch_size}."
        )


def make_settings(settings: Mapping[str, Any]) -> DataSettings:
    """Return the settings of a data set. UsageError for unknown keys and wrong values, all in one message."""
    try:
        return DataSettings.model_validate(dict(settings))
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """Return all problems of a recipe or of data settings as a message, one per line."""
    lines = []
    problems = error.errors()
    for problem in problems[:_MOST_PROBLEMS]:
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            lines.append(f"Unknown setting `{name:.200}`.{nearest(name, known_settings())}")
        elif problem["type"] == "value_error":
            lines.append(problem["msg"].removeprefix("Value error, "))
        else:
            reason = problem["msg"].removeprefix("Input should be ")
            lines.append(f"Expected `{name}` to be {reason}, but got {shown(problem['input'])}.")
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"And {len(problems) - _MOST_PROBLEMS:,} more problems.")
    return "\n".join(lines)


def known_settings() -> list[str]:
    """Return the names of all settings: of the recipe and of all methods."""
    return list(dict.fromkeys([*Recipe.model_fields, *(name for method in METHODS.values() for name in method.model_fields)]))
