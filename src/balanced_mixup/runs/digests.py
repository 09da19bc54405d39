"""The digests of a run's files, `files.json`: what has changed since the run was finished is noticed when it is read.

They bind the parts of a run together (weights, names of the classes, calibration, predictions). They are no signature: who
changes a run on purpose can write them anew. Runs of versions before them, and unfinished ones, have none.

The digest of recipe.yaml is that of its settings without the places of the data and where it computes: data may be moved.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from balanced_mixup.errors import RunError
from balanced_mixup.runs.formats import DIGESTS_FILE, damaged, read_file, write_file
from balanced_mixup.runs.run_folder import RunFolder
from balanced_mixup.settings_file import load_yaml
from balanced_mixup.training.recipe import PLACES, Execution

log = logging.getLogger("balanced_mixup")

_REMEDY = "Delete it to read the run without digests."
_DECISIVE = {"recipe.yaml", "model.json", "weights.safetensors", "calibration.json", "predictions.parquet"}
_OTHERS = (
    "environment.json", "manifest.csv", "excluded.csv", "history.csv", "cost.json", "metrics.json", "base.safetensors",
    "base.json",
)  # fmt: skip


class ChangedFileError(RunError):
    """A file that decides about results is not the one that was written with the run."""


def write_digests(run: RunFolder, coming: Mapping[str, str]) -> None:
    """Write the digests of a run's files, and of those that are to be written next (`coming`: their text by name)."""
    paths = (run.path / name for name in (*sorted(_DECISIVE), *_OTHERS))
    digests = {path.name: _sha256(path) for path in paths if path.is_file()}
    digests |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in coming.items()}
    write_file(run.digests, {"version": version("balanced-mixup"), "sha256": digests}, DIGESTS_FILE)


def read_digests(run: RunFolder) -> dict[str, str]:
    """Return the SHA-256 of each file by name; nothing for a run without digests. UsageError where they are damaged."""
    if not run.digests.exists():
        return {}
    digests = read_file(run.digests, DIGESTS_FILE, _REMEDY).get("sha256")
    if not isinstance(digests, dict):
        raise damaged(run.digests, "expected `sha256` to be a mapping", _REMEDY)
    return digests


def check_digest(run: RunFolder, *paths: Path) -> None:
    """Compare files of a run with their digests, those that exist.

    Raises:
        ChangedFileError: One that decides about results has changed. A warning names the others.
    """
    digests = read_digests(run)
    changed = [path.name for path in paths if path.name in digests and path.is_file() and _sha256(path) != digests[path.name]]
    if decisive := [name for name in changed if name in _DECISIVE]:
        raise ChangedFileError(
            f"{' and '.join(decisive)} of the run in {str(run.path)!r} {'has' if len(decisive) == 1 else 'have'} changed since "
            f"the run was written: its results are not those of this model. Restore the run from a copy, or train it again. If "
            f"the change is wanted, delete {run.digests.name}, which holds the digests."
        )
    if changed:
        log.warning("%s of the run in %s has changed since the run was written.", " and ".join(changed), run.path)


def _sha256(path: Path) -> str:
    if path.name == RunFolder(path.parent).recipe.name:
        settings = {name: value for name, value in load_yaml(path).items() if name not in (*PLACES, *Execution.model_fields)}
        return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
