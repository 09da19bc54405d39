"""Images without labels, for prediction."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from balanced_mixup.data.images import FileImages, is_image
from balanced_mixup.data.sources.class_folders import find_images
from balanced_mixup.errors import DataError, Problem

log = logging.getLogger("balanced_mixup")

_MOST_SUFFIXES = 12  # in a message


def unlabelled(paths: Sequence[Path]) -> FileImages:
    """Return the images that `paths` name: files as they are, folders with all images in them, at any depth, sorted.

    Each is named by its path as given (folder/inside.jpg), so names are unique. In folders, hidden files and files that are
    not images by their suffix are left out, and the latter are logged; a file that is named itself is used whatever its suffix.

    Raises:
        DataError: A path does not exist, a folder contains no images, or an image is named twice; lists all of it.
    """
    files: list[Path] = []
    problems: list[Problem] = []
    for path in paths:
        if path.is_dir():
            images, others = find_images(path)
            files += images
            if images and others:
                log.warning("%s: left out %s", path, _described(others))
            elif not images:
                found = f"none in it, but {_described(others)}" if others else "none in it."
                message = f"{path}: expected a folder with images, found {found}"
                problems.append(Problem("no images", message, "Name image files, or folders that contain some."))
        elif path.exists():
            files.append(path)
        else:
            problems.append(Problem("missing file", f"{path}: no such file or folder", "Check the spelling."))
    first: dict[str, Path] = {}
    for file in files:
        if any("\udc80" <= letter <= "\udcff" for letter in str(file)):  # how Python represents bytes that are not text
            problems.append(Problem("unreadable name", f"{str(file)!a}: expected a name in UTF-8", "Rename the file."))
        if (earlier := first.setdefault(os.path.realpath(file), file)) is not file:
            message = f"{file} is the same file as {earlier}"
            problems.append(Problem("repeated image", message, "Name each image once, and no folder together with its images."))
    if problems or not files:
        raise DataError(problems or [Problem("no images", "expected images, got no paths", "Name image files or folders.")])
    return FileImages(Path(), [str(file) for file in files])


def _described(files: Sequence[Path]) -> str:
    """Describe files that are not images by their suffix: how many of each, and what to do."""
    counts = Counter(file.suffix.lower() for file in files)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or "~"))
    named = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in ordered[:_MOST_SUFFIXES]]
    if (rest := len(counts) - len(named)) > 0:
        named.append(f"files of {rest:,} other suffixes")
    what = "1 file that is not an image" if len(files) == 1 else f"{len(files):,} files that are not images"
    text = f"{what} by the suffix ({', '.join(named)})."
    bare = [file for file in files if not file.suffix]
    if images := [file for file in bare if is_image(file)]:
        text += f" Images without a suffix: {len(images):,}, such as {images[0]}. Give them one, or name the files themselves."
    if len(bare) < len(files):
        text += " Convert photographs of another format to PNG or JPEG."
    return text
