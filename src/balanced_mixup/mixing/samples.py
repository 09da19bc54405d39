"""What a dataset may give for a sample, (image, label, ...) or a mapping, and how samples become a batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate

from balanced_mixup.errors import UsageError

Keys = tuple[str, str]
KEYS: Keys = ("image", "label")


def parts_of(sample: Any, keys: Keys = KEYS) -> tuple[Any, int, Any]:
    """Return the image, the class number, and what else the sample holds: a tuple or a dict, or None.

    Args:
        sample: A tuple or list (image, label, ...), or a mapping.
        keys: Those of the image and the label in a mapping.

    Raises:
        UsageError: It is none of these, or its label is not a class number.
    """
    if isinstance(sample, Mapping):
        if missing := [key for key in keys if key not in sample]:
            raise UsageError(
                f"Expected samples with the keys {keys[0]!r} and {keys[1]!r}, but got a mapping without {missing[0]!r}: "
                f"{', '.join(map(repr, sample))}. Give the names of yours: `keys=(image, label)`."
            )
        image, label = (sample[key] for key in keys)
        extra: Any = {key: value for key, value in sample.items() if key not in keys}
    elif isinstance(sample, (tuple, list)) and len(sample) >= 2:
        image, label, *rest = sample
        extra = tuple(rest)
    else:
        raise UsageError(f"Expected the dataset's samples to be (image, label, ...) or a mapping, but got {described(sample)}.")
    return image, class_number(label), extra or None


def class_number(label: Any) -> int:
    """Return a label, a number or an array or tensor of one, as an int. UsageError for anything else."""
    value: Any = None
    if isinstance(label, (int, float, np.number)):
        value = label
    elif isinstance(label, (Tensor, np.ndarray)) and np.prod(label.shape) == 1:
        value = label.item()
    if not (isinstance(value, (int, float, np.number)) and float(value).is_integer()):
        raise UsageError(
            f"Expected a sample's label to be a class number, but got {described(label)}. Let the dataset return the class "
            "number (of a one-hot label: its argmax)."
        )
    return int(value)


def described(value: Any) -> str:
    """Return the type of a value and its size, for a message."""
    kind = type(value).__name__
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{kind} of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list, Mapping)):
        return f"{kind} of {len(value)}"
    return f"{kind} {value!r}" if isinstance(value, (str, int, float, np.number)) else kind


def collated(samples: Sequence[Any], collate_fn: Callable[[Sequence[Any]], Any] | None) -> Any:
    """Return the samples as one batch: by `collate_fn`, or by torch's own way, which needs tensors or arrays of one size.

    Raises:
        UsageError: torch cannot put them together.
    """
    if collate_fn is not None:
        return collate_fn(samples)
    try:
        return default_collate(list(samples))
    except (TypeError, RuntimeError) as error:
        raise UsageError(
            f"The samples cannot be put together to a batch: {error}. Let the dataset return images as tensors or arrays of "
            "one size, and nothing else that differs in size or kind, or give a `collate_fn`."
        ) from error
