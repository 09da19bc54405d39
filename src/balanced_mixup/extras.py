"""Parts of the package that need more than its core: which extra has them, said in one sentence where it is missing."""

from importlib import import_module

from balanced_mixup.errors import UsageError


def require(purpose: str, extra: str, *modules: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        purpose: What needs them, as the beginning of a sentence: "A report".
        extra: Its name in pyproject.toml.
        modules: Names to import.

    Raises:
        UsageError: One is not installed; says how to install it.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError:
            raise UsageError(
                f"{purpose} needs {module}, which is not installed: pip install 'balanced-mixup[{extra}]'."
            ) from None
