"""Packages that are called like the function they are about: `balanced_mixup.report("runs/mine")`.

A function of the root cannot have the name of a package beside it: an import of anything in the package puts the package in its
place. So the package itself is callable, and still a package: `balanced_mixup.report.figures`.
"""

import inspect
import sys
from pkgutil import resolve_name
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package with a function, "module:name", that is imported when it is first needed."""

    _function: str

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function of the package."""
        return resolve_name(self._function)(*arguments, **keywords)

    @property
    def __signature__(self) -> inspect.Signature:
        """The signature of the function, for help and completion."""
        return inspect.signature(resolve_name(self._function))


def make_callable(package: str, function: str) -> None:
    """Make a package call a function, "module:name"; for its `__init__.py`."""
    module = sys.modules[package]
    module.__class__ = CallablePackage
    vars(module)["_function"] = function
