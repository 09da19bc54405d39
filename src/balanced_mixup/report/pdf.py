"""A report as a PDF: its page, laid out for print by WeasyPrint or by an installed Chromium."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from PIL import ImageFile

from balanced_mixup.errors import RunError, UsageError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_TIMEOUT = 300  # seconds


def to_pdf(page: str, folder: Path) -> bytes:
    """Return a page as PDF.

    Args:
        page: HTML that needs nothing else.
        folder: Where its relative links start.

    Raises:
        UsageError: Neither WeasyPrint nor a Chromium is installed.
        RunError: The browser failed.
    """
    if (render := weasyprint_renderer()) is not None:
        return render(page)
    if (browser := find_browser()) is not None:
        return _printed(browser, page, folder)
    raise UsageError(
        "A PDF needs WeasyPrint (pip install 'balanced-mixup[pdf]'; on Debian also apt install libpangoft2-1.0-0) or Chromium "
        "or Chrome (apt install chromium), and neither is installed. Or write HTML (--format html) and print it from a browser."
    )


def weasyprint_renderer() -> Callable[[str], bytes] | None:
    """Return a function from HTML to PDF; None where WeasyPrint, or the Pango that it needs, is not installed."""
    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        from weasyprint import HTML
    except (ImportError, OSError):  # OSError: the package is installed, Pango is not
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = strict  # importing it makes Pillow accept truncated images, in all of the process
    return lambda page: bytes(HTML(string=page).write_pdf())


def find_browser() -> str | None:
    """Return the path of Chromium or Chrome: $CHROMIUM, or the first one that is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def _printed(browser: str, page: str, folder: Path) -> bytes:
    # The browser would resolve links against the temporary folder. (WeasyPrint leaves them as they are.)
    page = re.sub(r'<a href="(?!#)([^"]*)"', lambda link: f'<a href="{(folder / unquote(link[1])).absolute().as_uri()}"', page)
    with tempfile.TemporaryDirectory(prefix="bmixup-pdf-", ignore_cleanup_errors=True) as temporary:
        source, target = Path(temporary) / "page.html", Path(temporary) / "page.pdf"
        source.write_text(page, encoding="utf-8")
        command = [browser, "--headless", "--disable-gpu", f"--user-data-dir={temporary}/profile", "--no-first-run"]
        command += ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses to start its sandbox for root
        command += ["--no-pdf-header-footer", f"--print-to-pdf={target}", source.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RunError(f"{browser} could not write the PDF: {error}.") from error
        if not target.is_file():
            raise RunError(f"{browser} could not write the PDF: {' '.join(done.stderr.split())[-300:]}")
        return target.read_bytes()
