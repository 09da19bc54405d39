"""`bmixup cache`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from balanced_mixup.cli.console import Console
from balanced_mixup.errors import RunError, human_bytes

if TYPE_CHECKING:
    from balanced_mixup.data.cached_stores import CachedStore


def cache(
    *,
    clear: Annotated[bool, Parameter(negative="")] = False,
    data: Path | None = None,
    cache_dir: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show the decoded images that are cached on disk, and their size; `--clear` deletes them.

    Deleting is safe: a training that needs them decodes the images again.

    Parameters
    ----------
    clear
        Delete the stores that are shown.
    data
        Only the images of this folder or file.
    cache_dir
        Folder of the decoded images; $BMIXUP_CACHE_DIR or the user's cache folder if not given.
    json
        Print one JSON object.
    """
    from balanced_mixup.cli.show import print_json
    from balanced_mixup.data.cached_stores import cached_stores
    from balanced_mixup.data.store import default_cache_dir

    folder = cache_dir or default_cache_dir()
    found = cached_stores(folder)
    if data is not None:
        found = [store for store in found if Path(store.origin) == data.resolve()]
    kept: list[str] = []
    for store in tuple(found) if clear else ():
        try:
            store.remove()
        except RunError as error:
            kept.append(str(error))
            found.remove(store)
    total = sum(store.disk_bytes for store in found)
    if json:
        stores = [{**vars(store), "folder": str(store.folder)} for store in found]
        print_json({"cache_dir": str(folder), "cleared": clear, "disk_bytes": total, "stores": stores})
    else:
        _show(found, total, folder, data, clear)
    if kept:
        raise RunError("\n".join(kept))


def _show(found: "list[CachedStore]", total: int, folder: Path, data: Path | None, clear: bool) -> None:
    console = Console()
    if found:
        table = Table(box=None, pad_edge=False)
        for heading in ("images of", "size", "images", "on disk", "last used"):
            table.add_column(heading, justify="right" if heading in ("size", "images", "on disk") else "left", overflow="fold")
        for store in found:
            used = f"{datetime.fromtimestamp(store.last_used):%Y-%m-%d %H:%M}"
            table.add_row(escape(store.origin), f"{store.size} px", f"{store.images:,}", human_bytes(store.disk_bytes), used)
        console.print(table, "")
    what = "decoded images" + (f" of {data}" if data is not None else "") + f" in {folder}."
    verb = "Deleted" if clear else "Total:"
    console.print(f"{verb} {human_bytes(total)} of {what}" if found else f"No {what}", soft_wrap=True, markup=False)
