"""What every figure of a report has to be: legible, of its width, and at home on a white and on a dark page."""

import io
import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from balanced_mixup.report.figures.drawing import GREY, INK, PALETTE, house_style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

ODD = [
    "<script>alert('x')</script>",
    "$x_1$ & \\alpha --> ]]>",
    "😀" * 100,
    "a" * 200,
    "benign keratosis-like lesions (solar lentigines, seborrheic keratoses and lichen-planus like keratoses)",
    "two\nlines\tand a \x00 zero",
    "b",
]
LARGEST = 150_000  # bytes of a figure in a page


def svg_of(drawing):
    """Return a figure as a page has it, without a ground."""
    file = io.BytesIO()
    with house_style():
        drawing.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return file.getvalue().decode("utf-8")


def words(drawing):
    """Return what is written in a figure."""
    return [element.text for element in ET.fromstring(svg_of(drawing)).iter("{http://www.w3.org/2000/svg}text")]


def assert_at_home(drawing):
    """Assert that a figure is well-formed, small, and has no colour but the palette's, text being ink."""
    svg = svg_of(drawing)
    assert len(svg.encode()) < LARGEST
    root = ET.fromstring(svg)
    assert root.findall(".//{http://www.w3.org/2000/svg}image") == []
    assert {colour.upper() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", svg)} <= {
        colour.upper() for colour in (*PALETTE, GREY, INK)
    }
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        assert f"fill: {INK}" in element.get("style")


def assert_fits(figure, width):
    """Assert the width in mm, that nothing is cut off and no text is under 7 pt; returns what the figure was drawn with."""
    with house_style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        tight = figure.get_tightbbox(renderer)
    across, down = figure.get_size_inches()
    assert across * 25.4 == pytest.approx(width)
    assert tight.x0 >= 0 and tight.y0 >= 0 and tight.x1 <= across and tight.y1 <= down
    assert all(text.get_fontsize() >= 7 for text in figure.findobj(Text))
    return renderer


def assert_legible(drawing, width):
    """Assert that a figure fits, and that no two texts overlap."""
    figure = drawing.figure
    renderer = assert_fits(figure, width)
    with house_style():
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in seen(figure)]
    for (text, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), f"{text!r} and {other!r} overlap"


def seen(figure):
    """Return the texts that are in view."""
    found = list(figure.texts)
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_text() and text.get_visible()]
