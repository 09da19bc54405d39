"""The disc of the retina: drawn discs whose circle is known, and original photographs whose discs were checked by eye."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from balanced_mixup.datasets.fundus import Box, find_disc

SEEN = {  # x and y of the centre and diameter, as a person sees them
    "10_left": (2360, 1632, 3007),
    "10_right": (2362, 1633, 3007),  # nearly black
    "13_left": (1296, 973, 2030),  # cut off at top and bottom
    "15_right": (2455, 1640, 3194),
    "16_left": (1956, 1298, 3180),  # over-exposed rim with a halo; cut off
    "16_right": (1953, 1303, 3180),
    "17_left": (1940, 1332, 2470),
}


def draw(height=300, width=400, x=200.0, y=150.0, radius=130.0, peak=180, ground=0, noise=2.0):
    """Return a disc that darkens towards its rim, with a little noise and blur, uint8 (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(columns + 0.5 - x, rows + 0.5 - y)
    shade = ground + (peak - ground) * (1 - 0.5 * (distance / radius) ** 2)
    inside = np.clip(radius - distance + 0.5, 0, 1)
    level = ground + (shade - ground) * inside
    grain = np.random.default_rng(0).normal(0, noise, (height, width, 1))
    pixels = np.clip(level[..., None] * [1.0, 0.5, 0.25] + ground * np.array([0, 0.5, 0.75]) + grain, 0, 255)
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7)))


def assert_near(box, x, y, radius, tolerance=0.02):
    assert box.right - box.left == box.bottom - box.top
    assert abs((box.left + box.right) / 2 - x) <= tolerance * radius + 1
    assert abs((box.top + box.bottom) / 2 - y) <= tolerance * radius + 1
    assert abs((box.right - box.left) / 2 - radius) <= tolerance * radius + 1


@settings(max_examples=25)
@given(
    x=st.floats(150, 250),
    y=st.floats(110, 190),
    radius=st.floats(70, 145),
    peak=st.sampled_from([25, 60, 180, 250]),
    ground=st.sampled_from([0, 3, 8]),
)
def test_a_disc_is_found_where_it_is(x, y, radius, peak, ground):
    """Whole or cut off by up to a third at top or bottom, dark or bright, on black or on nearly black ground."""
    assert_near(find_disc(draw(x=x, y=y, radius=radius, peak=peak, ground=ground)), x, y, radius, 0.03)


@pytest.mark.parametrize("radius", [130, 165, 190])
def test_a_disc_cut_off_at_top_and_bottom_keeps_its_circle(radius):
    box = find_disc(draw(radius=float(radius)))
    assert_near(box, 200, 150, radius)
    assert (box.top < 0) == (radius > 150)


def test_a_disc_cut_off_on_all_sides_is_seen_by_its_corners():
    assert_near(find_disc(draw(300, 300, 150.0, 150.0, 180.0)), 150, 150, 180, 0.03)


def test_any_size_gives_the_same_disc():
    for scale in (0.2, 0.5, 1, 2, 5):
        image = draw(int(300 * scale), int(400 * scale), 200 * scale, 150 * scale, 130 * scale)
        assert_near(find_disc(image), 200 * scale, 150 * scale, 130 * scale)


def spoilt(change):
    image = draw(radius=120.0).copy()
    change(image)
    return image


def notch(image):
    image[60:80, 280:310] = 150


def text(image):
    image[280:295, 10:120:3] = 255


def reflex(image):
    """A bright crescent over the rim, out to the border of the picture."""
    rows, columns = np.mgrid[:300, :400]
    image[np.hypot(columns - 330, rows - 150) < 60] = 255


def bright_corner(image):
    image[:60, :80] = 230


def black_spot(image):
    image[120:200, 150:260] = 0


def speckles(image):
    """Noise of the ground, as contrast stretching makes it, up to the rim."""
    rows, columns = np.mgrid[:300, :400]
    noisy = (np.random.default_rng(1).random((300, 400)) < 0.3) & (np.hypot(columns - 200, rows - 150) > 120)
    image[noisy & (abs(rows - 150) < 90)] = 70


def lit_rim(image):
    rows, columns = np.mgrid[:300, :400]
    distance = np.hypot(columns - 200, rows - 150)
    image[(distance > 105) & (distance < 120)] = 255


@pytest.mark.parametrize(
    "change", [notch, text, reflex, bright_corner, black_spot, speckles, lit_rim], ids=lambda f: f.__name__
)
def test_what_is_no_arc_of_the_circle_is_outvoted(change):
    assert_near(find_disc(spoilt(change)), 200, 150, 120, 0.03)


def test_no_disc():
    assert find_disc(np.zeros((90, 120, 3), np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 6, (90, 120, 3), dtype=np.uint8)
    assert find_disc(noise) is None


def test_a_picture_within_the_disc_is_taken_whole():
    assert find_disc(np.full((90, 120, 3), 90, np.uint8)) == Box(0, -15, 120, 105)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (24, 24)])
def test_tiny_pictures(shape):
    find_disc(np.full((*shape, 3), 200, np.uint8))
    find_disc(np.zeros((*shape, 3), np.uint8))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(20, 300), st.integers(20, 300), st.sampled_from([1, 5, 20]))
def test_whatever_the_picture_the_square_is_about_it(seed, height, width, grain):
    """Noise of any grain: a disc is found or not, but never somewhere else or many times as large as the picture."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height // grain + 1, width // grain + 1, 3)).repeat(grain, 0).repeat(grain, 1)
    dimmed = noise[:height, :width] * rng.choice([1.0, 0.1]) * np.linspace(*rng.random(2), width)[:, None]
    box = find_disc(dimmed.astype(np.uint8))
    if box is not None:
        assert box.right - box.left == box.bottom - box.top <= 2 * max(height, width)
        assert 0 <= (box.left + box.right) / 2 <= width
        assert 0 <= (box.top + box.bottom) / 2 <= height


def test_the_picture_is_only_looked_at():
    image = draw()
    before = image.copy()
    assert find_disc(image) == find_disc(image.copy())
    assert (image == before).all()


@pytest.mark.parametrize("name", SEEN)
def test_photographs(test_data, name):
    with Image.open(test_data("eyepacs-fullres", "images", f"{name}.jpeg")) as image:
        width = image.width
        image.draft("RGB", (1024, 1024))
        pixels = np.asarray(image)
    x, y, diameter = np.array(SEEN[name]) * pixels.shape[1] / width
    assert_near(find_disc(pixels), x, y, diameter / 2)
