"""Methods, metrics, data sources and backbones of other distributions, found by their entry points.

A distribution names them in its pyproject.toml; `examples/plugin` adds one of each:

    [project.entry-points."balanced_mixup.methods"]
    my-method = "my_package.my_method:MyMethod"
"""

import logging
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any, Literal

log = logging.getLogger("balanced_mixup")

Kind = Literal["methods", "metrics", "sources", "backbones"]


def load_plugins(kind: Kind) -> Iterator[tuple[str, Any]]:
    """Yield the name and the object of each entry point of the group `balanced_mixup.<kind>`.

    One that cannot be imported is left out with a warning that names its distribution: it must not stop all else.
    """
    for entry in entry_points(group=f"balanced_mixup.{kind}"):
        try:
            loaded = entry.load()
        except Exception as error:  # whatever foreign code raises when it is imported
            origin = entry.dist.name if entry.dist is not None else entry.value
            log.warning("The %s plugin %r of %s cannot be used: %r. Mend or uninstall it.", kind, entry.name, origin, error)
        else:
            yield entry.name, loaded
