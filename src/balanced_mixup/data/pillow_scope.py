"""Pillow's own warnings and its limit on pixels, which belong to the whole process, while any thread decodes."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


class PillowScope:
    """Silences Pillow's warnings (damaged EXIF data, a large image) and sets its limit on pixels while any thread decodes.

    `warnings.catch_warnings` changes the whole process and does not support overlapping threads, so the first thread to
    enter sets the filter and the last one to leave removes it.
    """

    def __init__(self) -> None:
        """Change nothing yet."""
        self._lock = threading.Lock()
        self._limits: list[int] = []  # of the threads inside
        self._filters = warnings.catch_warnings()
        self._limit_outside: int | None = None

    @contextmanager
    def __call__(self, max_pixels: int) -> Iterator[None]:
        """Decode inside the block; a frame or tile with more pixels than any thread allows is a `DecompressionBombError`."""
        with self._lock:
            if not self._limits:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._limit_outside = Image.MAX_IMAGE_PIXELS
            self._limits.append(max_pixels)
            self._set_limit()
        try:
            yield
        finally:
            with self._lock:
                self._limits.remove(max_pixels)
                if self._limits:
                    self._set_limit()
                else:
                    Image.MAX_IMAGE_PIXELS = self._limit_outside
                    self._filters.__exit__(None, None, None)

    def _set_limit(self) -> None:
        Image.MAX_IMAGE_PIXELS = -(-max(self._limits) // 2)  # Pillow raises an error at twice this number


pillow_scope = PillowScope()
