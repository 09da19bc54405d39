"""A backbone: any module from images (B, 3, S, S) to features (B, F). The head is put behind it by balanced-mixup."""

from torch import nn


def small_cnn(size: int, weights: str) -> nn.Module:
    """Return a small convolutional network with random weights.

    Args:
        size: Side of the images in pixels; this one takes any.
        weights: What the user says with `--weights`; there are none but "none" and "auto" here.

    Raises:
        ValueError: Other weights are asked for.
    """
    if weights not in ("none", "auto"):
        raise ValueError(f"small_cnn has no weights {weights!r}")
    return nn.Sequential(_block(3, 16), _block(16, 32), _block(32, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _block(channels_in: int, channels_out: int) -> nn.Module:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())
