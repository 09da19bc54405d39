"""Optional dependencies: a clear error that names the extra where one is missing."""

from importlib import import_module

from balanced_mixup.errors import UsageError


def require(purpose: str, extra: str, *modules: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        purpose: The feature that needs them, as the subject of a sentence: "A report".
        extra: Its name in pyproject.toml.
        modules: Names to import.

    Raises:
        UsageError: One is not installed; the message says how to install it.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError:
            raise UsageError(
                f"{purpose} needs {module}, which is not installed: pip install 'balanced-mixup[{extra}]'."
            ) from None
