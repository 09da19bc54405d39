"""The augmentation presets by name, as settings of `augment.Augmentation`."""

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "light": {"horizontal_flip": True, "vertical_flip": True, "brightness": 0.1, "contrast": 0.1},
    "paper": {
        "scale": (0.95, 1.20),
        "shift": 0.05,
        "rotation": 45.0,
        "one_geometry": True,
        "brightness": 0.25,
        "contrast": 0.25,
        "saturation": 0.25,
        "hue": 0.01,
        "horizontal_flip": True,
        "vertical_flip": True,
    },
    "strong": {
        "scale": (0.9, 1.4),
        "shift": 0.1,
        "rotation": 180.0,
        "brightness": 0.3,
        "contrast": 0.3,
        "saturation": 0.3,
        "hue": 0.02,
        "horizontal_flip": True,
        "vertical_flip": True,
    },
}
