"""The start of a run: which folder it is written to, and which recipe it has, before any image is opened."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balanced_mixup.data.frames import FILE as FRAME
from balanced_mixup.data.frames import is_frame, is_written, write_frame
from balanced_mixup.data.sources import is_named, kind_of
from balanced_mixup.errors import BalancedMixupError, DataError, UsageError
from balanced_mixup.runs.folder_lock import FolderInUseError, locked
from balanced_mixup.runs.formats import read_recipe
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.training.recipe import CHANGEABLE, Recipe, current_settings, load_yaml, make_recipe

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def own_folder(recipe: Recipe, out: Path | None) -> Iterator[RunFolder]:
    """Lock the folder of a run: `out`, or a new one that no other training takes at the same time."""
    with ExitStack() as stack:
        for path in [out] if out is not None else new_folders(recipe):
            _refuse_file(path)
            try:
                stack.enter_context(locked(path))
                break
            except FolderInUseError:
                if out is not None:
                    raise
        yield RunFolder(path)


def new_folders(recipe: Recipe) -> Iterator[Path]:
    """Yield folders that do not exist yet."""
    name = f"{Path(recipe.data).stem}-{recipe.method.name}"
    return (path for number in count(1) if not (path := Path("runs") / f"{name}-{number}").exists())


def frame_in(layers: tuple[Mapping[str, Any], ...]) -> pd.DataFrame | None:
    """Return the data where they are a data frame."""
    given = {name: value for layer in layers for name, value in layer.items()}
    return data if is_frame(data := given.get("data")) else None


@contextmanager
def frame_as_file(
    layers: tuple[Mapping[str, Any], ...], run: RunFolder, resume: bool
) -> Iterator[tuple[Mapping[str, Any], ...]]:
    """Write the data to the run's folder where they are a data frame; where the run is refused, the file is removed again.

    Yields:
        The settings, as those of `with_frame_named`.
    """
    named = with_frame_named(layers, run, resume)
    if (frame := frame_in(layers)) is None or (resume and run.recipe.is_file()):
        yield named
        return
    _refuse_used(run)
    file = run.path / FRAME
    write_frame(frame, file)
    try:
        yield named
    except BalancedMixupError:
        if not run.recipe.is_file():
            file.unlink()
        raise


def with_frame_named(layers: tuple[Mapping[str, Any], ...], run: RunFolder, resume: bool) -> tuple[Mapping[str, Any], ...]:
    """Return the settings with the name of the file in the run's folder where the data are a data frame.

    Raises:
        UsageError: The run is to be resumed with another data frame.
    """
    if (frame := frame_in(layers)) is None:
        return layers
    file = run.path.resolve() / FRAME
    images = next((layer["images"] for layer in reversed(layers) if layer.get("images")), Path.cwd())
    layers = (*({name: value for name, value in layer.items() if name != "data"} for layer in layers),)
    layers = (*layers, {"data": str(file), "images": images})
    if resume and run.recipe.is_file() and not is_written(frame, file):
        raise UsageError(
            f"The data have changed since the run in {str(run.path)!r} was started: the data frame is not that in {FRAME}. "
            "Start a new run, or give the same data frame."
        )
    return layers


def begin(run: RunFolder, recipe: Recipe) -> Recipe:
    """Return the recipe of a new run, with absolute paths. UsageError where the folder is in use or there are no such data."""
    kind_of(recipe.data)
    _refuse_used(run)
    return with_absolute_paths(recipe)


def _refuse_used(run: RunFolder) -> None:
    """Raise UsageError where there is something in the folder already."""
    if _contents(run):
        remedy = "Resume it with `--resume`, or choose another `--out`." if run.recipe.is_file() else "Choose another `--out`."
        raise UsageError(f"Expected `out` to be a new or empty folder, but {str(run.path)!r} exists. {remedy}")


def _refuse_file(path: Path) -> None:
    if path.is_file():
        raise UsageError(f"Expected `out` to be a new or empty folder, but {str(path)!r} exists. Choose another `--out`.")


def _contents(run: RunFolder) -> list[Path]:
    """Return what is in a run's folder besides what an attempt leaves that was refused or killed at once: log and frame."""
    left = (run.log.name, FRAME)
    return [path for path in run.path.iterdir() if path.name not in left and not path.name.startswith(".")]


def resumed_recipe(run: RunFolder, layers: tuple[Mapping[str, Any], ...]) -> Recipe:
    """Return the recipe that the run was started with; settings given again must be equal, except for paths.

    Whether moved data are the same is checked once they have been read.
    """
    stored, saved = load_yaml(run.recipe), read_recipe(run.recipe)
    for path in run.path.iterdir():
        run.own(path)
    for layer in layers:  # first, as the settings of another method would be unknown
        if (method := current_settings(layer).get("method", saved.method.name)) != saved.method.name:
            raise UsageError(
                f"The run in {str(run.path)!r} was started with other settings: `method` was {saved.method.name!r}, "
                f"now {method!r}."
            )
    again = with_absolute_paths(make_recipe(stored, *layers))
    before, now = saved.settings(), again.settings()
    changed = [
        f"`{name}` was {before.get(name)!r}, now {now.get(name)!r}"
        for name in before | now
        if name not in CHANGEABLE and before.get(name) != now.get(name)
    ]
    if changed:
        raise UsageError(f"The run in {str(run.path)!r} was started with other settings: {'; '.join(changed)}.")
    return again


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with absolute paths, valid from any folder."""
    update: dict[str, Any] = {}
    for name in ("data", "val_data", "test_data"):
        data = getattr(recipe, name)
        if data is not None and not is_named(data) and Path(data).exists():
            update[name] = str(Path(data).resolve())
    for name in ("images", "split_file"):
        if (path := getattr(recipe, name)) is not None:
            update[name] = path.resolve() if path.exists() else path.absolute()  # of links in a circle there is no real path
    if recipe.cache_dir is not None:
        update["cache_dir"] = recipe.cache_dir.resolve()
    if Path(recipe.weights).is_file():
        update["weights"] = str(Path(recipe.weights).resolve())
    return recipe.model_copy(update=update)


@contextmanager
def cleared_if_refused(run: RunFolder) -> Iterator[None]:
    """Leave only the log of a new run that is refused before its first epoch, so that it can be started again as corrected."""
    try:
        yield
    except (UsageError, DataError):
        if not run.history.is_file():
            for path in _contents(run):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
