"""From stored pixels to what a model takes."""

import numpy as np
import pytest
import torch

from balanced_mixup.training.preprocessing import Preprocessing, flip_averaged, scaled


def some_pixels():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8))
    pixels[0, 0, 0, 0], pixels[0, 0, 0, 1] = 0, 255
    return pixels


def test_pixels_become_images_from_0_to_1():
    pixels = some_pixels()
    images = scaled(pixels)
    assert images.shape == (2, 3, 3, 5)
    assert images.dtype == torch.float32
    assert (images.min(), images.max()) == (0, 1)
    assert torch.equal((images * 255).round().byte().permute(0, 2, 3, 1), pixels)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert pixels.max() == 255


def test_normalised_by_hand():
    preprocessing = Preprocessing([0.5, 0.5, 0.5], [0.25, 0.5, 0.1])
    images = torch.tensor([0.5, 0.25, 1.0]).reshape(1, 3, 1, 1).expand(2, 3, 4, 5)
    found = preprocessing.normalised(images)
    assert found[1, :, 2, 3].tolist() == pytest.approx([0.0, -0.5, 5.0])
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(preprocessing(some_pixels()), preprocessing.normalised(scaled(some_pixels())))


def test_its_numbers_are_no_part_of_the_weights():
    assert not Preprocessing([0.5], [0.5]).state_dict()


def test_an_image_and_its_mirror_image_have_the_same_prediction():
    weights = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    images = torch.rand(6, 3, 4, 5, generator=torch.Generator().manual_seed(1))

    def probabilities(images):
        return (images.flatten(1) @ weights).softmax(1)

    averaged = flip_averaged(probabilities, images)
    assert torch.allclose(averaged, flip_averaged(probabilities, images.flip(3)))
    assert torch.allclose(averaged, (probabilities(images) + probabilities(images.flip(3))) / 2)
    assert torch.equal(flip_averaged(probabilities, images, flip=False), probabilities(images))
