"""`synthetic-fundus`: drawn fundus photographs with grades 0-4 of diabetic retinopathy, for demos, tests and teaching.

- An eye consists of outlines in units of the field radius, so the same eye can be rendered at any size.
- Every eye is laid out as a right eye (optic disc, the nasal side, on the right); a left eye is its mirror image.
- Colour is the light that the tissue did not absorb: pigment and blood are absorbing layers over a bright background.
- Class frequencies are those of EyePACS, exact to rounding. Grades differ in the expected number of lesions of each kind, and
  neighbouring grades overlap, as in reality.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from balanced_mixup.data.images import ArrayImages
from balanced_mixup.data.manifest import Manifest
from balanced_mixup.data.settings import DataSettings
from balanced_mixup.errors import UsageError
from balanced_mixup.randomness import generator

Floats = npt.NDArray[np.floating]
Layer = Literal["blood", "lipid", "wool"]

EYES = ("left", "right")
CLASSES = ("0", "1", "2", "3", "4")
SHARES = np.array([0.735, 0.07, 0.15, 0.025, 0.02])
EYE_DIFFERENCE = 0.15  # of an eye's severity from its patient's, in standard deviations; in 87 % of patients both grades agree
SUPERSAMPLING = 3  # pixels drawn for each pixel of the image, along either axis
STEPS = 9  # points along a vessel


def rgb(red: float, green: float, blue: float) -> Floats:
    """Return a colour as float32 (3, 1, 1), ready for images (3, size, size)."""
    return np.array([red, green, blue], np.float32)[:, None, None]


UNPIGMENTED = rgb(0.98, 0.60, 0.33)  # the retina without pigment
DISC = rgb(1.1, 0.92, 0.58)
TINTS: dict[Layer, Floats] = {"lipid": rgb(1.0, 0.92, 0.48), "wool": rgb(1.0, 0.88, 0.62)}
PIGMENT_ABSORBANCE = rgb(0.45, 0.85, 1.05)
BLOOD_ABSORBANCE = rgb(0.42, 1.15, 1.25)


@dataclass(frozen=True)
class Lesion:
    """A kind of lesion; lengths in field radii."""

    expected: tuple[float, float, float, float, float]  # mean number in an eye of grade 0, 1, 2, 3, 4
    radius: tuple[float, float]  # smallest and largest
    opacity: tuple[float, float]  # smallest and largest, 0 to 1
    layer: Layer
    spread: float | None = None  # standard deviation about a common centre; None: anywhere


LESIONS = {
    "microaneurysm": Lesion((0, 4, 7, 12, 10), (0.014, 0.022), (0.5, 0.85), "blood"),
    "haemorrhage": Lesion((0, 0, 2, 20, 9), (0.022, 0.05), (0.5, 0.9), "blood"),
    "exudate": Lesion((0, 0, 3, 12, 8), (0.012, 0.024), (0.4, 0.9), "lipid", spread=0.12),
    "cotton wool": Lesion((0, 0, 0.2, 4, 2), (0.05, 0.09), (0.5, 0.9), "wool"),
    "drusen": Lesion((1, 1, 1, 1, 1), (0.012, 0.02), (0.2, 0.6), "lipid", spread=0.15),
    "pigment spot": Lesion((1, 1, 1, 1, 1), (0.012, 0.022), (0.3, 0.7), "blood"),
}


@dataclass(frozen=True)
class Shapes:
    """Filled outlines, float (V, M, 2) as x, y in field radii from the centre of the field, of opacity (V,) from 0 to 1."""

    outlines: Floats
    opacity: Floats
    layer: Layer


def enlarge(grid: Floats, size: int) -> Floats:
    """Return a small grid smoothly enlarged to (size, size)."""
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


class Appearance:
    """The properties that the photographs of a patient share: the pigment of the eyes, and the camera with its light."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the appearance of a patient's photographs."""
        self.pigment = rng.uniform(0.1, 0.75)
        self.gain = rng.uniform(0.8, 1.05) * rgb(*rng.normal(1, (0.04, 0.06, 0.12)))
        self.vignette = rng.uniform(0.15, 0.5)
        self.tilt = rng.normal(0, 0.07, 2).astype(np.float32)  # change of the light along x and y
        # The radius of the field, in image sides; over 0.5 the field is cut off.
        self.radius = rng.uniform(0.45, 0.495) if rng.random() < 0.8 else rng.uniform(0.5, 0.54)
        self.blur = rng.uniform(0.002, 0.008)  # standard deviation, in image sides
        self.noise = rng.uniform(0.006, 0.022)  # standard deviation, in units of full scale


class Eye:
    """An eye without lesions, laid out as a right eye; positions float32 (2,) and lengths in field radii."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the anatomy of an eye."""
        self.disc = rng.normal((0.58, -0.04), 0.05).astype(np.float32)
        self.disc_axes = (rng.uniform(0.145, 0.18) * np.array([1, rng.uniform(1.0, 1.15)])).astype(np.float32)
        self.macula = (self.disc + rng.normal((-0.66, 0.07), 0.02)).astype(np.float32)
        self.macula_depth = rng.uniform(0.25, 0.6)
        self.mottling = np.zeros((40, 40), np.float32)  # differences of pigment over the image
        for cells, scale in ((5, 0.10), (14, 0.07), (40, 0.05)):
            self.mottling += scale * enlarge(rng.standard_normal((cells, cells), np.float32), 40)
        self.vessels = list(vessel_tree(rng, self.disc))


def directions(angle: Floats) -> Floats:
    """Return the unit vectors (..., 2) of angles (...) in radians."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def grow(
    rng: np.random.Generator, start: Floats, heading: Floats, bend: Floats, length: Floats, wobble: float = 0.09
) -> tuple[Floats, Floats]:
    """Grow V curves from `start` (V, 2), turning from `heading` by `bend` radians over `length`, each (V,).

    Returns the points (V, STEPS, 2) and the heading there (V, STEPS).
    """
    turned = bend[:, None] * np.linspace(0, 1, STEPS) + wobble * rng.standard_normal((len(start), STEPS)).cumsum(1)
    angle = heading[:, None] + turned
    steps = (length[:, None] / STEPS)[..., None] * directions(angle)
    return start[:, None] + steps.cumsum(1) - steps[:, :1], angle


def ribbons(points: Floats, angle: Floats, width: Floats) -> Floats:
    """Return the outlines (V, 2 STEPS, 2) of curves (V, STEPS, 2) that taper from `width` (V,) to a third of it."""
    half = width[:, None] * np.linspace(0.5, 0.17, STEPS)
    across = half[..., None] * directions(angle + np.pi / 2)
    return np.concatenate([points + across, (points - across)[:, ::-1]], axis=1)


def vessel_tree(rng: np.random.Generator, disc: Floats) -> Iterator[Shapes]:
    """Yield three generations of vessels: a vein and an artery leave the disc for each region."""
    # The regions are superior and inferior temporal (these bend round the macula), nasal and macular.
    heading = np.repeat([-1.85, 1.85, -0.7, 0.7, -2.75, 2.75], 2) + rng.normal(0, 0.13, 12)
    bend = np.repeat([-1.5, 1.5, 0.3, -0.3, -0.1, 0.1], 2) + rng.normal(0, 0.15, 12)
    length = np.repeat([1.6, 1.6, 0.7, 0.7, 0.4, 0.4], 2) * rng.uniform(0.85, 1.1, 12)
    vein = np.tile([1.0, 0.0], 6)
    width = np.repeat([0.036, 0.036, 0.026, 0.026, 0.014, 0.014], 2) * (0.8 + 0.35 * vein)
    start: Floats = rng.normal(disc, 0.025, (12, 2))
    for children in (3, 1, 0):
        points, angle = grow(rng, start, heading, bend, length)
        opacity = (0.38 + 0.27 * vein) * np.clip(width / 0.026, 0.55, 1.0)
        yield Shapes(ribbons(points, angle, width), opacity, "blood")
        parent = np.repeat(np.arange(len(start)), children)
        at = rng.integers(2, STEPS - 1, len(parent))
        side = rng.choice([-1.0, 1.0], len(parent))
        start, heading = points[parent, at], angle[parent, at] + side * rng.uniform(0.5, 1.0, len(parent))
        bend = -side * rng.uniform(0.1, 0.7, len(parent))
        length = (0.15 + 0.45 * length[parent] * (1 - at / STEPS)) * rng.uniform(0.7, 1.2, len(parent))
        width, vein = 0.62 * width[parent] * (1 - 0.5 * at / STEPS), vein[parent]


def blobs(rng: np.random.Generator, centres: Floats, radius: Floats) -> Floats:
    """Return the outlines (V, 12, 2) of spots about `centres` (V, 2), randomly stretched and with an irregular edge."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    stretch, axis = rng.uniform(0, (0.45, 2 * np.pi), (len(centres), 2)).T[..., None]
    edge = radius[:, None] * (1 + stretch * np.cos(2 * turn + axis)) * rng.normal(1, 0.12, (len(centres), 12))
    outlines: Floats = centres[:, None] + edge[..., None] * directions(turn)
    return outlines


def scatter(rng: np.random.Generator, count: int, disc: Floats, spread: float | None = None) -> Floats:
    """Return `count` positions (count, 2) off the optic disc: anywhere in the field, or with a `spread` about one centre."""
    if spread is None:
        distance, turn = 0.85 * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
        places: Floats = distance[:, None] * directions(turn)
    else:
        places = rng.normal(rng.normal((-0.1, 0.0), 0.3), spread, (count, 2))
    on_disc = np.linalg.norm(places - disc, axis=1) < 0.22
    places[on_disc, 0] *= -1
    return places


def lesions(rng: np.random.Generator, grade: int, disc: Floats) -> Iterator[Shapes]:
    """Yield the lesions of an eye of a grade 0 to 4, and the harmless spots that any eye may have."""
    load = rng.gamma(4) / 4
    for kind in LESIONS.values():
        if count := int(rng.poisson(load * kind.expected[grade])):
            places = scatter(rng, count, disc, kind.spread)
            outlines = blobs(rng, places, rng.uniform(*kind.radius, count))
            yield Shapes(outlines, rng.uniform(*kind.opacity, count), kind.layer)
    if grade == 4:
        yield from proliferation(rng, disc)


def proliferation(rng: np.random.Generator, disc: Floats) -> Iterator[Shapes]:
    """Yield the signs of grade 4: tufts of new vessels, or preretinal haemorrhage that has settled."""
    bleeding = rng.random() < 0.5
    if bleeding:
        turn = np.linspace(0, np.pi, 12)
        edge = rng.uniform(0.14, 0.28) * rng.normal(1, 0.06, 12)
        boat = edge[:, None] * directions(turn) * (1, rng.uniform(0.6, 1.0))
        yield Shapes(0.8 * scatter(rng, 1, disc)[:, None] + boat, rng.uniform(0.7, 0.95, 1), "blood")
    for _ in range(int(rng.integers(0 if bleeding else 1, 4))):
        centre = disc if rng.random() < 0.4 else scatter(rng, 1, disc)[0]
        start, heading, bend = rng.normal(centre, 0.03, (12, 2)), rng.uniform(0, 2 * np.pi, 12), rng.normal(0, 2, 12)
        points, angle = grow(rng, start, heading, bend, np.full(12, 0.3), wobble=0.5)
        yield Shapes(ribbons(points, angle, np.full(12, 0.018)), np.full(12, 0.6), "blood")


@lru_cache(maxsize=4)
def pixel_grid(size: int) -> Floats:
    """Return the x and y of the pixel centres from the image centre, float32 (2, size, size), in image sides."""
    line = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    return np.stack(np.meshgrid(line, line))


def coverage(shapes: list[Shapes], layer: Layer, size: int, radius: float) -> Floats:
    """Return how much of each pixel the shapes of a layer cover, float32 (size, size), 0 to 1."""
    side = size * SUPERSAMPLING
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    for group in (group for group in shapes if group.layer == layer):
        corners = ((group.outlines * radius + 0.5) * side).reshape(len(group.outlines), -1).tolist()
        for polygon, ink in zip(corners, (255 * group.opacity).astype(int).tolist(), strict=True):
            draw.polygon(polygon, fill=ink)
    covered = canvas.reduce(SUPERSAMPLING)
    if layer == "wool":
        covered = covered.filter(ImageFilter.GaussianBlur(0.012 * size))
    return np.asarray(covered, np.float32) / 255


def retina(eye: Eye, spots: list[Shapes], appearance: Appearance, size: int) -> Floats:
    """Return the colour of the evenly lit retina, float32 (3, size, size)."""
    x, y = pixel_grid(size) / appearance.radius
    from_macula = (x - eye.macula[0]) ** 2 + (y - eye.macula[1]) ** 2
    macula = 0.5 * np.exp(-from_macula / 0.09) + np.exp(-from_macula / 0.008)
    pigment = appearance.pigment + eye.macula_depth * macula + enlarge(eye.mottling, size)
    to_disc = np.sqrt(((x - eye.disc[0]) / eye.disc_axes[0]) ** 2 + ((y - eye.disc[1]) / eye.disc_axes[1]) ** 2)
    disc = 0.45 - 0.45 * np.tanh(4.5 * (to_disc - 1))
    colour: Floats = UNPIGMENTED * np.exp(-pigment * PIGMENT_ABSORBANCE)
    colour += disc * (DISC - colour)
    for layer, tint in TINTS.items():
        if any(group.layer == layer for group in spots):
            colour += coverage(spots, layer, size, appearance.radius) * (tint - colour)
    colour *= np.exp(-coverage(eye.vessels + spots, "blood", size, appearance.radius) * BLOOD_ABSORBANCE)
    return colour


def photograph(seed: int, patient: str, eye: str, grade: int, size: int) -> npt.NDArray[np.uint8]:
    """Return the photograph of one eye of a patient, RGB uint8 (size, size, 3): a function of the arguments alone."""
    appearance = Appearance(generator(seed, "fundus look", patient))
    anatomy = Eye(generator(seed, "fundus anatomy", patient, eye))
    spots = list(lesions(generator(seed, "fundus lesions", patient, eye), grade, anatomy.disc))
    x, y = pixel_grid(size) / appearance.radius
    distance = np.sqrt(x**2 + y**2)
    field = np.clip((1 - distance) * appearance.radius * size + 0.5, 0, 1)
    light = field * (1 - appearance.vignette * distance**2 + appearance.tilt[0] * x + appearance.tilt[1] * y)
    colour = np.clip(255 * appearance.gain * light * retina(anatomy, spots, appearance, size), 0, 255)
    sharp = Image.fromarray(colour.astype(np.uint8).transpose(1, 2, 0))
    seen = np.asarray(sharp.filter(ImageFilter.GaussianBlur(appearance.blur * size))).transpose(2, 0, 1)
    grain = generator(seed, "fundus grain", patient, eye, size).standard_normal((size, size), np.float32)
    noisy: Floats = np.clip(seen + 255 * appearance.noise * field * grain, 0, 255)
    return noisy.astype(np.uint8).transpose(1, 2, 0)[:, :: -1 if eye == "left" else 1]


def class_counts(n: int) -> npt.NDArray[np.int64]:
    """Return how many of `n` eyes have each grade, int64 (5,): `SHARES` by largest remainder, and no grade missing."""
    counts: npt.NDArray[np.int64] = np.floor(n * SHARES).astype(np.int64)
    counts[np.argsort(counts - n * SHARES, kind="stable")[: n - counts.sum()]] += 1
    counts = counts.clip(2 if n >= 100 else 1)
    counts[0] = n - counts[1:].sum()
    return counts


def grades_of_eyes(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the grades of `n` eyes, int64 (n,); eyes 2i and 2i + 1 belong to patient i.

    The severity of an eye is that of its patient plus a small deviation. Ranking all eyes by it and cutting the ranks at the
    class counts gives exact counts and fellow eyes that mostly agree.
    """
    rng = generator(seed, "fundus grades", n)
    severity = np.repeat(rng.standard_normal((n + 1) // 2), 2)[:n] + EYE_DIFFERENCE * rng.standard_normal(n)
    grades = np.empty(n, np.int64)
    grades[np.argsort(severity, kind="stable")] = np.repeat(np.arange(5), class_counts(n))
    return grades


def synthetic_fundus(n: int = 3000, size: int = 96, seed: int = 0) -> Manifest:
    """Draw `n` fundus photographs of (n + 1) // 2 patients, `size` pixels wide, with grades 0 to 4 as frequent as in EyePACS.

    Raises:
        UsageError: `n` is under 20 or `size` is not from 32 to 1024.
    """
    if n < 20:
        raise UsageError(f"Expected `n` to be at least 20, but got {n}.")
    if not 32 <= size <= 1024:
        raise UsageError(f"Expected `size` to be from 32 to 1024, but got {size}.")
    grades = grades_of_eyes(n, seed)
    patients = np.array([f"p{i // 2 + 1:04d}" for i in range(n)])
    eyes = np.resize(EYES, n).tolist()
    pixels = np.empty((n, size, size, 3), np.uint8)

    def draw(i: int) -> None:
        pixels[i] = photograph(seed, str(patients[i]), eyes[i], int(grades[i]), size)

    # Small images spend their time in the interpreter, where more threads only slow it down.
    with ThreadPoolExecutor(1 if size < 192 else os.cpu_count()) as pool:
        list(pool.map(draw, range(n)))
    names = [f"{patient}_{eye}" for patient, eye in zip(patients, eyes, strict=True)]
    images = ArrayImages(names, pixels)
    images.drawn = True
    return Manifest(images, grades, CLASSES, ordinal=True, groups=patients)


def load(settings: DataSettings) -> Manifest:
    """Return the manifest of the source `synthetic-fundus`. UsageError for other classes than its own."""
    if settings.classes not in (None, CLASSES):
        raise UsageError(f"Expected no --classes with synthetic-fundus, whose classes are {', '.join(CLASSES)}.")
    return _built_in()


@cache  # the demo trains twice in one process
def _built_in() -> Manifest:
    return synthetic_fundus()
