"""A report as one self-contained HTML file: styles, script, figures and images are embedded.

It is readable without its script, which only adds the filter and the large view of the galleries. Figures are SVG in the page's
text colour, so that they follow its light or dark theme.
"""

import base64
import re
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from balanced_mixup.report import document
from balanced_mixup.report.document import Chart, Document
from balanced_mixup.report.figures.style import INK, to_svg


def to_html(report: Document) -> str:
    """Return the report as a page; all text from the data is escaped."""
    environment = Environment(
        loader=PackageLoader("balanced_mixup.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["svg"] = _svg
    environment.tests["block"] = lambda block, name: isinstance(block, getattr(document, name))
    templates = files("balanced_mixup.report") / "templates"
    style, script = ((templates / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return environment.get_template("page.html").render(report=report, style=Markup(style), script=Markup(script))


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _own_names(tag: str, chart: str) -> str:
    """Make the ids in a tag of a figure unique within the page, and use the page's text colour."""
    tag = re.sub(r'\bid="([^"]+)"', rf'id="{chart}-\1"', tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{chart}-", tag)
    return tag.replace(INK, "currentColor")


def _svg(chart: Chart) -> Markup:
    """Return the figure as an element of the page."""
    svg = to_svg(chart.drawing)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: _own_names(tag[0], chart.name), svg)
    width = chart.drawing.figure.get_size_inches()[0] * 25.4
    head = f'<svg role="img" aria-label="{escape(chart.drawing.description)}" style="--width: {width:.0f}" '
    # Its size is set by the style sheet.
    first, rest = svg.split(">", 1)
    first = re.sub(r' (width|height)="[^"]*"', "", first)
    return Markup(head + first.removeprefix("<svg").strip() + ">" + rest)
