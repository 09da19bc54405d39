"""What a run is: a hash of what was said about it, by which a benchmark finds trainings that it has already.

What was said is the method with its own settings, every setting that differs from its default, and the content of the data as
the run sees them (their fingerprint, which holds names, labels, classes, groups and split). So a new setting with a default
changes no identity, and neither does another place of the data or another machine. A changed default does not announce itself:
it needs a new `FORMAT`, which is hashed too.
"""

import hashlib
import json
from collections.abc import Mapping

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.methods import Method
from balanced_mixup.training.recipe import Execution, Recipe

FORMAT = 1

# Where things are and run, the name of the settings that others start from, and what the data's fingerprint holds.
_NOT_SAID = {"recipe", "method", *Execution.model_fields, *DataSettings.model_fields}


def identity(recipe: Recipe, data_fingerprint: str) -> str:
    """Return what tells a training from others, 16 hexadecimal digits.

    Args:
        recipe: All settings.
        data_fingerprint: See `runs.environment.fingerprint`.
    """
    said = recipe.model_dump(mode="json", exclude=_NOT_SAID, exclude_defaults=True)
    content: Mapping[str, object] = {
        "format": FORMAT,
        "method": [recipe.method.name, recipe.method.settings_changed()],
        "settings": said,
        "data": data_fingerprint,
    }
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()


def base_identity(recipe: Recipe, data_fingerprint: str) -> str | None:
    """Return the identity of the training that the recipe's method starts from; None for a method without a base."""
    base: Method | None = recipe.method.base()
    return None if base is None else identity(recipe.model_copy(update={"method": base}), data_fingerprint)
