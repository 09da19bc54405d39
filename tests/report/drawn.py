"""What every figure of a report has to be: legible, of its width, and at home on a white and on a dark page."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from balanced_mixup.report.figures.style import GREY, INK, PALETTE, figure_style, to_svg

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


def words(drawing):
    """Return what is written in a figure."""
    return [element.text for element in ET.fromstring(to_svg(drawing)).iter("{http://www.w3.org/2000/svg}text")]


def assert_at_home(drawing):
    """Assert that a figure is well-formed, small, and has no colour but the palette's, text being ink."""
    svg = to_svg(drawing)
    assert len(svg.encode()) < LARGEST
    root = ET.fromstring(svg)
    assert root.findall(".//{http://www.w3.org/2000/svg}image") == []
    assert {colour.upper() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", svg)} <= {
        colour.upper() for colour in (*PALETTE, GREY, INK)
    }
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        assert f"fill: {INK}" in element.get("style")


def assert_legible(drawing, width):
    """Assert the width in mm, that no text is under 7 pt or cut off, and that no two texts, nor legend and panel, overlap."""
    figure = drawing.figure
    with figure_style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in seen(figure)]
        panels = [axes.get_window_extent(renderer) for axes in figure.axes]
        legends = [legend.get_window_extent(renderer) for legend in figure.legends]
    assert figure.get_figwidth() * 25.4 == pytest.approx(width)
    assert all(text.get_fontsize() >= 7 for text in seen(figure))
    across, down = figure.bbox.size
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= across + 1 and box.y1 <= down + 1, f"{text!r} is cut off"
    for (text, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), f"{text!r} and {other!r} overlap"
    assert not any(a.overlaps(b) for a in panels for b in legends)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(panels, 2))
    assert all(panel.width > 0.15 * across for panel in panels)  # names leave room for what they name
    for axes, panel in zip(figure.axes, panels, strict=True):  # a longer one reaches into the next panel
        assert axes.yaxis.label.get_window_extent(renderer).height <= panel.height


def seen(figure):
    """Return the texts that are in view."""
    found = list(figure.texts)
    for legend in figure.legends:
        found += [legend.get_title(), *legend.get_texts()]
    for axes in figure.axes:
        if not axes.axison:
            continue
        titles = (axes.title, axes._left_title, axes._right_title)
        found += [*axes.texts, *titles, axes.xaxis.label, axes.yaxis.label]
        for part in (axes, *axes.child_axes):
            for axis, (low, high) in ((part.xaxis, sorted(part.get_xlim())), (part.yaxis, sorted(part.get_ylim()))):
                ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                found += [axis.offsetText, *(label for tick in ticks for label in (tick.label1, tick.label2))]
    return [text for text in found if text.get_text() and text.get_visible()]
