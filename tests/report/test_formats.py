"""Whatever the format, a report says the same, shows names as they are, and leaves files behind that stand alone."""

import re
import time
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas as pd
import pytest
from pypdf import PdfReader

from balanced_mixup import UsageError
from balanced_mixup.cli import run as command
from balanced_mixup.report.document import Table
from balanced_mixup.report.run import run_report
from balanced_mixup.report.write import write_report

NASTY = [
    "<script>alert(1)</script>",
    "a|b & <b>c</b> $x^2$",
    "x" * 200,
    "naïve ☃ 🧫 'quoted' \"twice\"",
    "{{ 7 * 7 }} `code` _em_",
]


class Page(HTMLParser):
    """Text and tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def pages(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    return {form: write_report(tiny_run, folder / f"report.{form}", form) for form in ("html", "md", "pdf")}


def test_every_format_has_every_table(pages, tiny_run):
    texts = {
        "html": " ".join(Page(pages["html"].read_text()).text),
        "md": pages["md"].read_text().replace("\\", ""),
        "pdf": " ".join(page.extract_text() for page in PdfReader(pages["pdf"]).pages),
    }
    texts = {form: "".join(text.split()) for form, text in texts.items()}  # cells are broken over lines
    for section in run_report(tiny_run).sections:
        cells = [cell for table in section.blocks if isinstance(table, Table) for row in table.rows for cell in row]
        for form, text in texts.items():
            assert not [(form, shown) for shown in (section.title, *cells) if "".join(shown.split()) not in text]


def test_figures_are_files(pages, tiny_run):
    figures = pages["html"].parent / "report-figures"
    for chart in run_report(tiny_run).charts():
        for kind in ("svg", "png", "csv"):
            assert (figures / f"{chart.name}.{kind}").stat().st_size > 100
        numbers = pd.read_csv(figures / f"{chart.name}.csv")
        pd.testing.assert_frame_equal(numbers, chart.drawing.numbers.reset_index(drop=True), check_dtype=False, rtol=1e-9)
    for _, link in re.findall(r"!\[([^]]*)\]\(([^)]*)\)", pages["md"].read_text()):
        assert (pages["md"].parent / link).is_file()


def test_the_page_needs_nothing_else(pages):
    page = Page(pages["html"].read_text())
    addresses = [value for name, value in page.attributes if name in ("src", "href", "xlink:href") and value]
    assert addresses
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in addresses)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert all(value[1:] in ids for value in addresses if value.startswith("#"))


def test_every_image_has_an_alternative(pages):
    text = pages["html"].read_text()
    for tag in re.findall(r"<img [^>]*>", text):
        assert re.search(r'alt="[^"]+"', tag)
    for tag in re.findall(r"<svg [^>]*>", text):
        assert re.search(r'aria-label="[^"]+"', tag)


def test_figures_take_the_colours_of_the_page(pages):
    svgs = re.findall(r"<svg.*?</svg>", pages["html"].read_text(), flags=re.DOTALL)
    for svg in svgs:
        assert "currentColor" in svg
        assert not re.search(r"#fff(fff)?\b|: white|#222222", svg)


@pytest.mark.parametrize("form", ["html", "md", "pdf"])
def test_odd_names_are_shown_as_they_are(made_run, tmp_path, form):
    run = made_run(NASTY, 120)
    path = write_report(run, tmp_path / f"report.{form}", form)
    if form == "html":
        page = Page(path.read_text())
        assert page.tags.count("script") == 1
        text = " ".join(page.text)
        for name in NASTY:
            assert name in text
        assert "49 `code`" not in text
        for svg in re.findall(r"<svg.*?</svg>", path.read_text(), flags=re.DOTALL):
            ElementTree.fromstring(svg.replace("xlink:href", "href"))
    elif form == "md":
        assert "<script>" not in path.read_text().replace("\\<", "")
    else:
        assert len(PdfReader(path).pages) >= 2


@pytest.mark.slow
def test_large_reports_are_small(made_run, tmp_path):
    run = made_run([f"class {k}" for k in range(500)], 50_000, replicates=2)
    start = time.monotonic()
    path = write_report(run, tmp_path / "report.html")
    assert path.stat().st_size < 15e6
    assert time.monotonic() - start < 120


def test_where_it_goes_by_itself(made_run):
    run = made_run(["a", "b"], 40)
    assert write_report(run) == run / "report.html"
    assert (run / "report-figures/confusion.svg").is_file()


def test_bad_use(tmp_path, made_run, capsys):
    with pytest.raises(UsageError, match=r"neither a recipe\.yaml nor a benchmark\.json"):
        write_report(tmp_path)
    with pytest.raises(UsageError, match="there is no such folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="Expected `form` to be one of html, pdf, md, but got 'doc'"):
        write_report(tmp_path, form="doc")
    run = made_run(["a", "b"], 40)
    for out, form in (("x.pdf", "html"), ("metrics.json", None), ("", None), ("x.html", "md")):
        with pytest.raises(UsageError, match=r"Expected `out` to be a file that ends with \."):
            write_report(run, out, form)
    assert write_report(run, tmp_path / "x.MD").read_text().startswith("# ")
    assert command(["report", str(run), "--out", str(run / "metrics.json" / "x.html")]) == 1
    assert "could not be written" in " ".join(capsys.readouterr().err.split())
