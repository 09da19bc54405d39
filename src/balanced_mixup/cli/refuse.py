"""What a command refuses before it imports torch, which takes seconds."""

from collections.abc import Sequence
from pathlib import Path


def refuse_missing(run: Path, images: Sequence[Path] = ()) -> None:
    """Raise UsageError where `run` is not the folder of a finished run, DataError where an image or folder does not exist."""
    from balanced_mixup.runs.run_folder import RunFolder

    RunFolder(run).require_finished()
    if not all(path.exists() for path in images):
        from balanced_mixup.data.sources.unlabelled import unlabelled

        unlabelled(images)  # says which
