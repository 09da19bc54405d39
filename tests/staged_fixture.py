"""Methods of several stages (tests/staged), known here and in every process that is started, as if they were installed."""

import hashlib
import importlib
import os
from pathlib import Path

import pytest

from balanced_mixup.methods import METHODS, Method

STAGED = Path(__file__).with_name("staged")


@pytest.fixture(scope="module")
def staged():
    """The module `staged_methods`; its methods are registered while the tests of a module run."""
    before = dict(METHODS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STAGED)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(STAGED), os.environ.get("PYTHONPATH")])))
        module = importlib.import_module("staged_methods")
        for method in vars(module).values():
            if isinstance(method, type) and issubclass(method, Method) and method.__module__ == module.__name__:
                METHODS.add(method)
        yield module
    METHODS._objects.clear()
    METHODS._objects.update(before)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
