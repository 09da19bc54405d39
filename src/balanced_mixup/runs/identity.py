"""The identity of a run: a hash by which a benchmark recognises trainings that exist already.

It covers the method with its own settings, every setting that differs from its default, and the fingerprint of the data (names,
content, labels, classes, groups and split). So a new setting with a default changes no identity, and neither does moving the
data or using another machine. A changed default is not detected: it needs a new `FORMAT`, which is hashed too.
"""

import hashlib
import json
from collections.abc import Mapping

from balanced_mixup.data.settings import DataSettings
from balanced_mixup.methods import Method
from balanced_mixup.training.recipe import Execution, Recipe

FORMAT = 1

# Where the run computes, the name of its recipe, and what the data's fingerprint covers, such as the split.
_EXCLUDED = {"recipe", "method", "split_version", *Execution.model_fields, *DataSettings.model_fields}


def identity(recipe: Recipe, data_fingerprint: str) -> str:
    """Return the identity of a training, 16 hexadecimal digits.

    Args:
        recipe: All settings.
        data_fingerprint: See `runs.environment.fingerprint`.
    """
    settings = recipe.model_dump(mode="json", exclude=_EXCLUDED, exclude_defaults=True)
    content: Mapping[str, object] = {
        "format": FORMAT,
        "method": [recipe.method.name, recipe.method.settings_changed()],
        "settings": settings,
        "data": data_fingerprint,
    }
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()


def base_identity(recipe: Recipe, data_fingerprint: str) -> str | None:
    """Return the identity of the training that the recipe's method starts from; None for a method without a base."""
    base: Method | None = recipe.method.base()
    return None if base is None else identity(recipe.model_copy(update={"method": base}), data_fingerprint)
