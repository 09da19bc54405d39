"""Boxes of a partner's image that are pasted into an image: whole pixels, clipped at the border (Yun et al., ICCV 2019).

A box is drawn as fractions of height and width, so that it is a function of the key whatever the size of the images; how much
it covers is counted in pixels when it is pasted.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from balanced_mixup.mixing.base import Pairing, beta_quadrature, pairing


def box_pairing(
    partner: npt.NDArray[np.int64], area: npt.NDArray[np.float64], centre: npt.NDArray[np.float64], batch_size: int
) -> Pairing:
    """Return the pairing of samples and the boxes of their partners.

    Args:
        partner: int64 (B,), positions among the candidates.
        area: (1,) or (B,), the area of each box, as a fraction of the image, before it is clipped.
        centre: (1, 2) or (B, 2), its centre, as fractions of height and width.
        batch_size: B.
    """
    half = np.sqrt(area)[:, None] / 2
    box = np.clip(np.hstack([centre - half, centre + half]), 0, 1)
    paired = pairing(partner, (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]), batch_size)
    return paired._replace(box=np.where(paired.weight[:, None] > 0, box, 0).astype(np.float32))


def mean_box_area(alpha: float) -> float:
    """Return the mean area of clipped boxes, as a fraction of the image, for areas ~ Beta(alpha, alpha) and uniform centres.

    A side r whose centre is uniform in 0..1 keeps r - r^2 / 4 of its length on average.
    """
    area, probability = beta_quadrature(alpha)
    return float(((np.sqrt(area) - area / 4) ** 2 * probability).sum())


def paste(images: Tensor, partners: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Return images with the box of their partners' image, and the fraction of pixels that it covers, float32 (B,).

    Args:
        images, partners: (B, ..., H, W).
        box: float32 (B, 4), top, left, bottom and right as fractions of height and width.
    """
    height, width = images.shape[-2:]
    top, left, bottom, right = (box * box.new_tensor([height, width, height, width])).round().T[..., None]
    row, column = (torch.arange(side, device=images.device) for side in (height, width))
    rows, columns = (row >= top) & (row < bottom), (column >= left) & (column < right)
    inside = rows[:, :, None] & columns[:, None, :]
    mask = inside.reshape(len(images), *[1] * (images.ndim - 3), height, width)
    return torch.where(mask, partners, images), inside.float().mean(dim=(1, 2))
