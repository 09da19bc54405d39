"""`bmixup cache`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from balanced_mixup.cli.console import Console
from balanced_mixup.errors import Problem, RunError, UsageError, describe, human_bytes

if TYPE_CHECKING:
    from balanced_mixup.data.cached_stores import CachedStore


def cache(
    *,
    clear: Annotated[bool, Parameter(negative="")] = False,
    verify: Annotated[bool, Parameter(negative="")] = False,
    limit: str | None = None,
    data: Path | None = None,
    cache_dir: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show the decoded images and features that are cached on disk; `--clear` deletes them, `--verify` checks them.

    Deleting is safe: a training that needs them decodes the images, or computes the features, again. Before a training adds to
    them, it deletes the least recently used ones that nobody uses until all take less than $BMIXUP_CACHE_LIMIT, such as 20GB,
    or, where it is not set, no more than what is free on their disk.

    Parameters
    ----------
    clear
        Delete the stores that are shown.
    verify
        Compare every image and feature vector with its checksum, and drop damaged ones, which the next training makes again.
        The exit status is 1 if there were any.
    limit
        Delete the least recently used of the stores that are shown and not in use until they take no more than this, such as
        20GB.
    data
        Only the images of this folder or file.
    cache_dir
        Folder of the decoded images; $BMIXUP_CACHE_DIR or the user's cache folder if not given.
    json
        Print one JSON object.
    """
    from balanced_mixup.cli.show import print_json
    from balanced_mixup.data.cache_limit import cache_limit, delete_unused, parse_bytes
    from balanced_mixup.data.cached_stores import cached_stores, default_cache_dir

    if clear + verify + (limit is not None) > 1:
        raise UsageError("Expected one of --clear, --verify and --limit, but got several.")
    folder = cache_dir or default_cache_dir()
    stores = cached_stores(folder)
    bound = cache_limit(folder, stores) if limit is None else parse_bytes(limit, "--limit")
    if data is not None:
        stores = [store for store in stores if Path(store.origin) == data.resolve()]
    errors: list[str] = []
    shown = stores
    damaged: list[Problem] = []
    if limit is not None:
        shown = delete_unused(stores, sum(store.disk_bytes for store in stores) - bound)
    for store in tuple(stores) if clear or verify else ():
        try:
            if clear:
                store.remove()
            else:
                damaged += [_damage(store, key) for key in store.verify()]
        except RunError as error:
            errors.append(str(error))
            shown.remove(store)
    if damaged:
        errors.append(describe(damaged))
    total = sum(store.disk_bytes for store in shown)
    deleted = clear or limit is not None
    if json:
        about = {"cache_dir": str(folder), "cleared": deleted, "disk_bytes": total, "limit_bytes": bound}
        listed = [{**vars(store), "folder": str(store.folder)} for store in shown]
        print_json({**about, "stores": listed, "damaged": [problem.message for problem in damaged]})
    else:
        of = "decoded images and features" + (f" of {data}" if data is not None else "") + f" in {folder}"
        end = "." if deleted else f" (limit {human_bytes(bound)})."
        _show(shown, f"{'Deleted' if deleted else 'Total:'} {human_bytes(total)} of {of}{end}" if shown else f"No {of}.")
    if errors:
        raise RunError("\n".join(errors))


def _damage(store: "CachedStore", key: str) -> Problem:
    message = f"{Path(store.origin, key)} at {store.size} px ({store.contents})"
    return Problem("damaged in the store", message, "They were dropped: the next training that needs them makes them again.")


def _show(stores: "list[CachedStore]", total: str) -> None:
    console = Console()
    if stores:
        table = Table(box=None, pad_edge=False)
        for heading in ("images of", "contents", "size", "images", "on disk", "last used"):
            table.add_column(heading, justify="right" if heading in ("size", "images", "on disk") else "left", overflow="fold")
        for store in stores:
            used = f"{datetime.fromtimestamp(store.last_used):%Y-%m-%d %H:%M}"
            cells = (f"{store.size} px", f"{store.images:,}", human_bytes(store.disk_bytes), used)
            table.add_row(escape(store.origin), escape(store.contents), *cells)
        console.print(table, "")
    console.print(total, soft_wrap=True, markup=False)
