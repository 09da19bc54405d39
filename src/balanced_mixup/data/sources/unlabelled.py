"""Images without labels, for prediction."""

import os
from collections.abc import Sequence
from pathlib import Path

from balanced_mixup.data.images import FileImages
from balanced_mixup.data.sources.class_folders import find_images
from balanced_mixup.errors import DataError, Problem


def unlabelled(paths: Sequence[Path]) -> FileImages:
    """Return the images that `paths` name: files as they are, folders with all images in them, at any depth, sorted.

    Each is named by its path as given (folder/inside.jpg), so names are unique. In folders, hidden files and files that are
    not images by their extension are skipped; a file that is named itself is used whatever its extension.

    Raises:
        DataError: A path does not exist, a folder contains no images, or an image is named twice; lists all of it.
    """
    files: list[Path] = []
    problems: list[Problem] = []
    for path in paths:
        if path.is_dir():
            images, _ = find_images(path)
            files += images
            if not images:
                message = f"{path}: expected a folder with images, found none in it"
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
