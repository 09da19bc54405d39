"""Augmentation on tensors, different for each image of a batch: one resampling and one colour matrix.

Scale, shift, rotation and both flips are one affine map, applied by a single bilinear resampling (black outside of the image,
as in the published pipeline). Brightness, contrast, saturation and hue are one 3x4 matrix on (R, G, B, 1) for each
image, composed in a random order as in torchvision's ColorJitter; the normalisation that the model expects is part of it.

Deliberate differences from PIL on 8-bit images: values are clipped once, at the end, not rounded and clipped after each
operation; the hue is rotated about the grey axis of RGB, the linear map nearest to a small rotation in HSV (for a fraction h of
the circle it differs by at most 4 h times the difference between the largest and smallest channel of a pixel).

All parameters come from uniform numbers that the caller draws by key, `N_UNIFORMS` for each image, so that the augmentation of
an image depends only on its position in the epoch and not on how the epoch is divided into batches.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from balanced_mixup.data.augmentation_presets import PRESETS

N_UNIFORMS = 11
_GREY = (0.299, 0.587, 0.114)
_ORDERS = tuple(itertools.permutations(range(4)))


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the uniformly drawn parameters.

    Args:
        scale: Smallest and largest magnification.
        shift: Largest horizontal shift, as a fraction of the width, in either direction.
        rotation: Largest rotation in degrees, in either direction.
        one_geometry: Draw one of scale, shift and rotation for each image (the published pipeline), instead of all three.
        brightness, contrast, saturation: Factors between 1 - x and 1 + x.
        hue: Largest rotation of the hue, as a fraction of the full circle, in either direction.
        horizontal_flip, vertical_flip: Mirror half of the images.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    rotation: float = 0.0
    one_geometry: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False

    @property
    def moves(self) -> bool:
        """Whether the geometry changes."""
        geometry = self.scale != (1.0, 1.0) or self.shift or self.rotation
        return bool(geometry or self.horizontal_flip or self.vertical_flip)

    @property
    def colours(self) -> bool:
        """Whether colours change."""
        return bool(self.brightness or self.contrast or self.saturation or self.hue)

    def __call__(self, images: Tensor, uniforms: Tensor, mean: Tensor | None = None, std: Tensor | None = None) -> Tensor:
        """Augment a batch, and normalise it in the same pass over the pixels.

        Args:
            images: Float (B, 3, H, W) in 0..1.
            uniforms: Float (B, N_UNIFORMS) in [0, 1), on the same device.
            mean, std: (3,), of each channel, to normalise with; if not given, images stay in 0..1.

        Returns:
            (B, 3, H, W).
        """
        mean = images.new_zeros(3) if mean is None else mean
        std = images.new_ones(3) if std is None else std
        if self.moves:
            images = resample(images, self.affine(uniforms, images.shape[2], images.shape[3]))
        if self.colours:
            return recolour(images, self.colour_matrix(uniforms, images.mean(dim=(2, 3))), mean, std)
        return (images - mean[:, None, None]) / std[:, None, None]

    def affine(self, uniforms: Tensor, height: int, width: int) -> Tensor:
        """Return the map from output to input coordinates, both in -1..1, float (B, 2, 3)."""
        u = uniforms
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * u[:, 0]
        shift = (2 * u[:, 1] - 1) * self.shift
        angle = (2 * u[:, 2] - 1) * math.radians(self.rotation)
        if self.one_geometry:
            chosen = (u[:, 3] * 3).floor()
            scale = torch.where(chosen == 0, scale, torch.ones_like(scale))
            shift, angle = shift * (chosen == 1), angle * (chosen == 2)
        flip_x = 1 - 2 * (u[:, 4] < 0.5).to(u.dtype) * self.horizontal_flip
        flip_y = 1 - 2 * (u[:, 5] < 0.5).to(u.dtype) * self.vertical_flip
        cos, sin, ratio = angle.cos() / scale, angle.sin() / scale, height / width
        # Rotation by pixels, not by -1..1 coordinates, which differ where the image is not square.
        rows = (
            torch.stack([cos * flip_x, sin * ratio * flip_y, -2 * shift], dim=1),
            torch.stack([-sin / ratio * flip_x, cos * flip_y, torch.zeros_like(cos)], dim=1),
        )
        return torch.stack(rows, dim=1)

    def colour_matrix(self, uniforms: Tensor, mean: Tensor) -> Tensor:
        """Return the map of (R, G, B, 1) to (R, G, B) for each image, float (B, 3, 4).

        Args:
            uniforms: Float (B, N_UNIFORMS).
            mean: (B, 3), the mean colour of each image, which contrast is relative to.
        """
        brightness, contrast, saturation = (
            (1 + strength * (2 * uniforms[:, 6 + i] - 1)).reshape(-1, 1, 1)
            for i, strength in enumerate((self.brightness, self.contrast, self.saturation))
        )
        eye = torch.eye(3, dtype=mean.dtype, device=mean.device)
        grey = torch.tensor(_GREY, dtype=mean.dtype, device=mean.device)
        linear = torch.stack(
            [
                brightness * eye,
                contrast * eye,
                saturation * eye + (1 - saturation) * grey.expand(3, 3),
                self._hue_matrix(uniforms[:, 9]),
            ],
            dim=1,
        )
        # One of the 24 orders of the four operations, from a single uniform number.
        code = (uniforms[:, 10] * 24).long().clamp(max=23)
        order = torch.tensor(_ORDERS, device=mean.device)[code]
        matrix = eye.expand(len(mean), 3, 3)
        offset = torch.zeros_like(mean).unsqueeze(2)
        for place in range(4):
            operation = order[:, place]
            step = linear[torch.arange(len(mean), device=mean.device), operation]
            now = matrix @ mean.unsqueeze(2) + offset
            lift = (1 - contrast) * (grey @ now).unsqueeze(2) * (operation == 1).reshape(-1, 1, 1)
            matrix, offset = step @ matrix, step @ offset + lift
        return torch.cat([matrix, offset.expand(-1, 3, 1)], dim=2)

    def _hue_matrix(self, u: Tensor) -> Tensor:
        angle = (2 * u - 1) * self.hue * 2 * math.pi
        # A positive hue goes from red towards green: Rodrigues' formula about (1, 1, 1).
        same, rest, sine = (1 + 2 * angle.cos()) / 3, (1 - angle.cos()) / 3, angle.sin() / math.sqrt(3)
        onward, back = rest + sine, rest - sine
        return torch.stack([same, back, onward, onward, same, back, back, onward, same], dim=1).reshape(-1, 3, 3)


def resample(images: Tensor, affine: Tensor) -> Tensor:
    """Return images (B, 3, H, W) seen through `affine` (B, 2, 3), bilinear, black outside."""
    grid = sampling_grid(affine, images.shape[2], images.shape[3])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def sampling_grid(affine: Tensor, height: int, width: int) -> Tensor:
    """Return the position of each output pixel in the input, (B, H, W, 2): torch's `affine_grid` in half the time."""
    x, y = ((2 * torch.arange(n, dtype=affine.dtype, device=affine.device) + 1) / n - 1 for n in (width, height))
    grid = affine.new_empty(len(affine), height, width, 2)
    of_rows = affine[:, :, 1, None] * y + affine[:, :, 2, None]
    of_columns = affine[:, :, 0, None] * x
    for axis in range(2):
        torch.add(of_rows[:, axis, :, None], of_columns[:, axis, None, :], out=grid[..., axis])
    return grid


def recolour(images: Tensor, matrix: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Apply `matrix` to the colour of each pixel, clip it to 0..1, and normalise it.

    Args:
        images: (B, 3, H, W) in 0..1.
        matrix: (B, 3, 4), on (R, G, B, 1).
        mean, std: (3,), of each channel.
    """
    # Normalisation is part of the matrix, so the clipping limits are normalised as well.
    linear, offset = matrix[:, :, :3] / std[:, None], (matrix[:, :, 3] - mean) / std
    coloured = torch.baddbmm(offset[:, :, None], linear, images.flatten(2)).reshape(images.shape)
    low, high = -mean / std, (1 - mean) / std
    return coloured.clamp_(low[:, None, None], high[:, None, None])


AUGMENTATIONS: Mapping[str, Augmentation] = {name: Augmentation(**preset) for name, preset in PRESETS.items()}
