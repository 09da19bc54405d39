"""Augmentation: geometry and colour against torchvision, the order of the operations, and the ranges of the paper's preset."""

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as reference

from balanced_mixup.data.augment import AUGMENTATIONS, N_UNIFORMS, Augmentation, recolour, resample, sampling_grid

law = settings(max_examples=25)
PAPER = AUGMENTATIONS["paper"]
SCALE, SHIFT, ANGLE, CHOICE, FLIP_X, FLIP_Y, BRIGHTNESS, CONTRAST, SATURATION, HUE, ORDER = range(N_UNIFORMS)
unit = st.floats(0, 1, exclude_max=True)


def images_of(batch=1, height=24, width=24, low=0.0, high=1.0, seed=0):
    noise = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return low + (high - low) * noise


def drawn(**values):
    """Return uniform numbers (1, N_UNIFORMS) in the middle, which changes nothing where ranges are symmetric, but `values`."""
    u = torch.full((1, N_UNIFORMS), 0.5, dtype=torch.float64)
    for name, value in values.items():
        u[0, globals()[name]] = value
    return u


def random_uniforms(batch, seed=0):
    return torch.rand(batch, N_UNIFORMS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(image, angle=0.0, translate=(0.0, 0.0), scale=1.0):
    return reference.affine(image, angle, list(translate), scale, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR)


# ---- Geometry ----

shapes = pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 33), (31, 16)])


@shapes
@pytest.mark.parametrize("u", [0.0, 0.2, 0.9])
def test_scale_is_torchvisions(height, width, u):
    image = images_of(1, height, width)
    found = Augmentation(scale=(0.8, 1.5))(image, drawn(SCALE=u))
    assert torch.allclose(found, moved(image, scale=0.8 + 0.7 * u), atol=1e-9)


@shapes
@pytest.mark.parametrize("u", [0.0, 0.3, 0.95])
def test_shift_is_torchvisions_and_a_share_of_the_width(height, width, u):
    image = images_of(1, height, width)
    found = Augmentation(shift=0.1)(image, drawn(SHIFT=u))
    assert torch.allclose(found, moved(image, translate=((2 * u - 1) * 0.1 * width, 0)), atol=1e-9)


@shapes
@pytest.mark.parametrize("u", [0.0, 0.3, 0.6, 0.99])
def test_rotation_is_torchvisions_in_either_direction(height, width, u):
    image = images_of(1, height, width)
    found = Augmentation(rotation=45)(image, drawn(ANGLE=u))
    assert torch.allclose(found, moved(image, angle=(2 * u - 1) * 45), atol=1e-9)


@shapes
@pytest.mark.parametrize("flips", [(0.0, 0.9), (0.9, 0.0), (0.49, 0.49), (0.5, 0.5)])
def test_flips_mirror_exactly(height, width, flips):
    image = images_of(1, height, width)
    both = Augmentation(horizontal_flip=True, vertical_flip=True)
    expected = image
    if flips[0] < 0.5:
        expected = expected.flip(3)
    if flips[1] < 0.5:
        expected = expected.flip(2)
    assert torch.allclose(both(image, drawn(FLIP_X=flips[0], FLIP_Y=flips[1])), expected, atol=1e-9)
    # Without the setting there is no flip, whatever is drawn.
    assert torch.allclose(Augmentation(shift=0.1)(image, drawn(FLIP_X=0.0, FLIP_Y=0.0)), image, atol=1e-9)


def test_a_quarter_turn_moves_whole_pixels():
    image = images_of(1, 12, 12)
    assert torch.allclose(Augmentation(rotation=180)(image, drawn(ANGLE=0.75)), image.rot90(-1, (2, 3)), atol=1e-9)
    assert torch.allclose(Augmentation(rotation=180)(image, drawn(ANGLE=0.25)), image.rot90(1, (2, 3)), atol=1e-9)


@law
@given(unit, unit, unit, unit, unit)
def test_all_of_geometry_is_one_map_shift_then_turn_and_scale_then_flips(scale, shift, angle, flip_x, flip_y):
    image = images_of(1, 18, 26)
    augmentation = Augmentation(scale=(0.9, 1.4), shift=0.1, rotation=180, horizontal_flip=True, vertical_flip=True)
    found = augmentation(image, drawn(SCALE=scale, SHIFT=shift, ANGLE=angle, FLIP_X=flip_x, FLIP_Y=flip_y))
    degrees, factor, pixels = (2 * angle - 1) * 180, 0.9 + 0.5 * scale, (2 * shift - 1) * 0.1 * 26
    # torchvision shifts last, so the shift is turned and scaled with the image.
    turned = [factor * pixels * math.cos(math.radians(degrees)), factor * pixels * math.sin(math.radians(degrees))]
    expected = moved(image, degrees, turned, factor)
    expected = expected.flip(3) if flip_x < 0.5 else expected
    expected = expected.flip(2) if flip_y < 0.5 else expected
    assert torch.allclose(found, expected, atol=1e-7)


@law
@given(st.integers(0, 10**6))
def test_outside_of_the_image_is_black(seed):
    u = random_uniforms(4, seed)
    strong = AUGMENTATIONS["strong"]
    seen = resample(torch.ones(4, 3, 16, 16, dtype=torch.float64), strong.affine(u, 16, 16))
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-9


def test_a_smaller_image_has_a_black_frame_and_a_larger_one_none():
    white = torch.ones(1, 3, 20, 20, dtype=torch.float64)
    small, large = (Augmentation(scale=(factor, factor))(white, drawn()) for factor in (0.8, 1.4))
    assert small[..., 0, :].max() == small[..., -1, :].max() == small[..., 0].max() == small[..., -1].max() == 0
    assert small[..., 3:-3, 3:-3].min() > 0.999
    assert large.min() > 0.999


def test_one_geometry_draws_exactly_one_of_three_each_as_often():
    u = random_uniforms(12_000)
    maps = replace(PAPER, horizontal_flip=False, vertical_flip=False).affine(u, 32, 32)
    scale, angle, shift = parameters(maps)
    changed = torch.stack([(scale - 1).abs() > 1e-9, shift.abs() > 1e-9, angle.abs() > 1e-9])
    assert (changed.sum(0) == 1).all()
    assert chisquare(changed.sum(1).numpy()).pvalue > 0.001
    # Without it all three are drawn for each image.
    scale, angle, shift = parameters(
        replace(PAPER, one_geometry=False, horizontal_flip=False, vertical_flip=False).affine(u, 32, 32)
    )
    assert ((scale != 1) & (angle != 0) & (shift != 0)).all()


def parameters(maps):
    """Return enlargement, angle in degrees and horizontal shift (share of the width) of maps (B, 2, 3) of square images."""
    scale = 1 / torch.linalg.det(maps[:, :, :2]).abs().sqrt()
    return scale, torch.rad2deg(torch.atan2(maps[:, 0, 1], maps[:, 0, 0])), -maps[:, 0, 2] / 2


# ---- Colour ----

# From 0.3 to 0.6, changes by a quarter are not clipped.
GREY_RANGE = {"low": 0.3, "high": 0.6}
OPERATIONS = {
    "BRIGHTNESS": ("brightness", reference.adjust_brightness),
    "CONTRAST": ("contrast", reference.adjust_contrast),
    "SATURATION": ("saturation", reference.adjust_saturation),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, 0.99])
def test_colour_is_torchvisions(name, u):
    setting, adjust = OPERATIONS[name]
    image = images_of(**GREY_RANGE)
    found = Augmentation(**{setting: 0.25})(image, drawn(**{name: u}))
    expected = adjust(image, 1 + 0.25 * (2 * u - 1))
    assert 0 < expected.min() < expected.max() < 1
    assert torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_beyond_the_grey_range_are_clipped(name):
    setting, adjust = OPERATIONS[name]
    image = images_of(low=0.0, high=1.0)
    found = Augmentation(**{setting: 0.9})(image, drawn(**{name: 0.99}))
    assert found.min() == 0 or name == "BRIGHTNESS"
    assert found.max() == 1
    assert torch.allclose(found, adjust(image, 1 + 0.9 * 0.98), atol=1e-3)


@pytest.mark.parametrize("place", range(6))
def test_the_order_of_operations_is_one_of_all(place):
    # Hue is left out: four places for it in each of the orders of the other three.
    image = images_of(low=0.4, high=0.5) * torch.tensor([1.0, 0.8, 0.6], dtype=torch.float64).reshape(1, 3, 1, 1)
    factors = {"BRIGHTNESS": 1.2, "CONTRAST": 0.8, "SATURATION": 1.25}
    augmentation = Augmentation(brightness=0.4, contrast=0.4, saturation=0.5)
    draws = {"BRIGHTNESS": 0.75, "CONTRAST": 0.25, "SATURATION": 0.75}
    found = [augmentation(image, drawn(**draws, ORDER=(code + 0.5) / 24)) for code in range(24)]
    order = list(permutations(OPERATIONS))[place]
    expected = image
    for name in order:
        expected = OPERATIONS[name][1](expected, factors[name])
    assert 0 < expected.min() < expected.max() < 1
    assert sum(torch.allclose(one, expected, atol=1e-4) for one in found) >= 4


def test_each_of_the_24_orders_is_drawn_by_a_24th():
    image = images_of(low=0.4, high=0.5) * torch.tensor([1.0, 0.8, 0.6], dtype=torch.float64).reshape(1, 3, 1, 1)
    full = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.5, "hue": 0.05}
    u = drawn(BRIGHTNESS=0.8, CONTRAST=0.1, SATURATION=0.9, HUE=0.9)
    expected = []
    for order in permutations(full):
        one = image
        for name in order:
            one = Augmentation(**{name: full[name]})(one, u)
        assert 0 < one.min() < one.max() < 1
        expected.append(one)
    found = []
    for code in range(24):
        u[0, ORDER] = code / 24 + 1e-6
        first = Augmentation(**full)(image, u)
        u[0, ORDER] = (code + 1) / 24 - 1e-6
        assert torch.equal(Augmentation(**full)(image, u), first)
        found.append(first)
    # Orders that are the same map (brightness commutes with all but the clipping) are found as often as there are of them.
    matches = [{i for i, other in enumerate(expected) if torch.allclose(one, other, atol=1e-12)} for one in found]
    assert all(matches)
    assert set().union(*matches) == set(range(24))
    for i in range(24):
        same = {j for j in range(24) if torch.allclose(expected[i], expected[j], atol=1e-12)}
        assert sum(match == same for match in matches) == len(same)


@pytest.mark.parametrize("hue", [0.01, 0.02])
@pytest.mark.parametrize("u", [0.0, 0.25, 0.75, 1 - 1e-9])
@pytest.mark.parametrize("limits", [(0.0, 1.0), (0.3, 0.6)])
def test_hue_is_within_four_parts_of_the_chroma_of_a_turn_in_hsv(hue, u, limits):
    image = images_of(1, 64, 64, *limits)
    turn = hue * (2 * u - 1)
    found, expected = Augmentation(hue=hue)(image, drawn(HUE=u)), reference.adjust_hue(image, turn)
    chroma = (image.amax(1, keepdim=True) - image.amin(1, keepdim=True)).clamp_min(1e-12)
    error = (found - expected).abs()
    assert (error / chroma).max() <= 4 * abs(turn)
    # With hue 0.01 and colours as in photographs that is under three grey levels of 255.
    if hue == 0.01 and limits == (0.3, 0.6):
        assert 255 * error.max() < 3
    # No other linear map of small turns is nearer on average: neither a smaller turn nor a larger one, nor none at all.
    assert error.square().mean() < (image - expected).square().mean()


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_the_turn_is_the_linear_one_nearest_to_hsv(factor):
    image = images_of(1, 64, 64, 0.3, 0.6)
    expected = reference.adjust_hue(image, 0.01)

    def error(turn):
        return (Augmentation(hue=abs(turn))(image, drawn(HUE=1.0 if turn > 0 else 0.0)) - expected).square().mean()

    assert error(0.01) < error(0.01 * factor)
    assert error(0.01) < error(-0.01)


def test_positive_hue_goes_from_red_towards_green():
    red = torch.tensor([0.8, 0.2, 0.2], dtype=torch.float64).reshape(1, 3, 1, 1)
    found = Augmentation(hue=0.01)(red, drawn(HUE=1.0)).flatten()
    assert found[1] > 0.2 > found[2]


@law
@given(unit, unit)
def test_a_third_of_the_circle_is_a_change_of_channels_and_grey_stays(hue, order):
    image = images_of(**GREY_RANGE)
    third = Augmentation(hue=1 / 3)
    assert torch.allclose(third(image, drawn(HUE=1.0, ORDER=order)), image.roll(1, dims=1), atol=1e-9)
    assert torch.allclose(third(image, drawn(HUE=0.0, ORDER=order)), image.roll(-1, dims=1), atol=1e-9)
    grey = image[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(Augmentation(hue=0.5)(grey, drawn(HUE=hue, ORDER=order)), grey, atol=1e-9)


def test_recolour_by_hand():
    image = torch.tensor([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1)
    matrix = torch.tensor([[[1.0, 1.0, 0.0, 0.1], [0.0, 2.0, 0.0, 0.5], [0.0, 0.0, -1.0, 0.2]]])
    plain = recolour(image, matrix, torch.zeros(3), torch.ones(3))
    assert plain.flatten().tolist() == pytest.approx([0.7, 1.0, 0.0])
    # Normalised after clipping, though in one pass.
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.1, 0.5])
    assert recolour(image, matrix, mean, std).flatten().tolist() == pytest.approx([1.0, 6.0, -0.6])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_normalising_in_the_same_pass_is_normalising_afterwards(name):
    images, u = torch.rand(6, 3, 9, 7), torch.rand(6, N_UNIFORMS)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.1, 0.5])
    apart = (AUGMENTATIONS[name](images, u) - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(AUGMENTATIONS[name](images, u, mean, std), apart, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 8), (16, 16)])
def test_the_sampling_grid_is_torchs(height, width):
    affine = torch.randn(7, 2, 3, dtype=torch.float64)
    expected = F.affine_grid(affine, [7, 3, height, width], align_corners=False)
    assert torch.allclose(sampling_grid(affine, height, width), expected)


# ---- Each image by itself ----


@pytest.mark.parametrize("preset", AUGMENTATIONS.values(), ids=AUGMENTATIONS.keys())
def test_each_image_is_augmented_by_its_own_numbers_alone(preset):
    images, u = images_of(6), random_uniforms(6)
    together = preset(images, u)
    alone = torch.cat([preset(images[i : i + 1], u[i : i + 1]) for i in range(6)])
    assert torch.allclose(together, alone, atol=1e-9)


def test_the_input_is_left_as_it_is():
    images = images_of(2)
    before = images.clone()
    for preset in AUGMENTATIONS.values():
        preset(images, random_uniforms(2))
    assert torch.equal(images, before)


# ---- The paper's preset ----


def test_ranges_of_the_papers_geometry():
    u = random_uniforms(9_000)
    maps = PAPER.affine(u, 64, 64)
    flips = torch.stack([maps[:, 0, 0] < 0, maps[:, 1, 1] < 0]).double()
    # Both flips for half of the images, independently; rotations are at most 45 degrees, so cosines keep their sign.
    assert flips.mean(1).tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    assert (flips[0] * flips[1]).mean().item() == pytest.approx(0.25, abs=0.02)
    scale, angle, shift = parameters(replace(PAPER, horizontal_flip=False, vertical_flip=False).affine(u, 64, 64))
    for values, low, high, neutral in ((scale, 0.95, 1.20, 1), (angle, -45, 45, 0), (shift, -0.05, 0.05, 0)):
        changed = values[(values - neutral).abs() > 1e-9]
        assert len(changed) == pytest.approx(3000, abs=200)
        assert kstest(changed.numpy(), "uniform", (low, high - low)).pvalue > 0.001


def test_ranges_of_the_papers_colours():
    u, mean = random_uniforms(5_000), torch.full((5_000, 3), 0.5, dtype=torch.float64)
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    only = {name: replace(PAPER, **{**none, name: getattr(PAPER, name)}).colour_matrix(u, mean) for name in none}
    turn = only["hue"]
    factors = {
        "brightness": only["brightness"][:, 0, 0],
        "contrast": only["contrast"][:, 0, 0],
        "saturation": only["saturation"][:, 0, 0] - only["saturation"][:, 1, 0],
        "hue": torch.atan2((turn[:, 1, 0] - turn[:, 0, 1]) * math.sqrt(3) / 2, (3 * turn[:, 0, 0] - 1) / 2) / (2 * math.pi),
    }
    for name, (low, high) in {
        "brightness": (0.75, 1.25),
        "contrast": (0.75, 1.25),
        "saturation": (0.75, 1.25),
        "hue": (-0.01, 0.01),
    }.items():
        assert kstest(factors[name].numpy(), "uniform", (low, high - low)).pvalue > 0.001
    independent = torch.corrcoef(torch.stack(list(factors.values()))) - torch.eye(4)
    assert independent.abs().max() < 0.06
