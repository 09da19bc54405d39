"""Whatever the format, a report says the same, shows names as they are, and leaves files behind that stand alone."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.ft2font import FT2Font
from PIL import ImageFile
from pypdf import PdfReader

from balanced_mixup import UsageError
from balanced_mixup.cli import run as command
from balanced_mixup.errors import RunError
from balanced_mixup.report import pdf, write
from balanced_mixup.report.document import Chart, Document, Section, Table
from balanced_mixup.report.figures import fonts, prior_bars
from balanced_mixup.report.html import to_html
from balanced_mixup.report.markdown import to_markdown
from balanced_mixup.report.run_report import run_report
from balanced_mixup.report.write import make_report, write_report

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


RENDERERS = {"WeasyPrint": pdf.weasyprint_renderer, "Chromium": pdf.find_browser}


@pytest.fixture(scope="module")
def page(tiny_report):
    return to_html(tiny_report)


def missing_cells(report, text):
    """Return the titles and cells of a report that are not in a text, in which lines may be broken anywhere."""
    text = "".join(text.split())
    cells = [section.title for section in report.sections]
    for section in report.sections:
        cells += [cell for table in section.blocks if isinstance(table, Table) for row in table.rows for cell in row]
    return [cell for cell in cells if "".join(cell.split()) not in text]


def test_every_format_has_every_table(page, tiny_report, tmp_path):
    assert not missing_cells(tiny_report, " ".join(Page(page).text))
    (tmp_path / "figures").mkdir()
    text = to_markdown(tiny_report, tmp_path / "figures")
    assert not missing_cells(tiny_report, text.replace("\\", ""))
    for _, link in re.findall(r"!\[([^]]*)\]\(([^)]*)\)", text):
        assert link.endswith(".png") or (tmp_path / link).is_file()


@pytest.mark.parametrize("renderer", ["WeasyPrint", pytest.param("Chromium", marks=pytest.mark.slow)])
def test_the_pdf_is_the_page(page, tiny_report, tmp_path, monkeypatch, renderer):
    if RENDERERS[renderer]() is None:
        pytest.skip(f"needs {renderer}")
    if renderer == "Chromium":
        monkeypatch.setattr(pdf, "weasyprint_renderer", lambda: None)
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf.to_pdf(page, tmp_path))
    pages = PdfReader(path).pages
    texts = [page.extract_text() for page in pages]
    assert not missing_cells(tiny_report, " ".join(texts))
    assert "val_fraction" in " ".join(texts)  # what is folded on the screen
    assert all(f"{number} / {len(pages)}" in text for number, text in enumerate(texts, start=1))


@pytest.mark.parametrize("renderer", ["WeasyPrint", pytest.param("Chromium", marks=pytest.mark.slow)])
def test_links_of_a_pdf_lead_to_the_files(tmp_path, monkeypatch, renderer):
    if RENDERERS[renderer]() is None:
        pytest.skip(f"needs {renderer}")
    if renderer == "Chromium":
        monkeypatch.setattr(pdf, "weasyprint_renderer", lambda: None)
    target = tmp_path / "runs" / "a run 10%" / "report.html"
    table = Table("Runs", ["run"], [["one"], ["two"]], links=[target.relative_to(tmp_path).as_posix(), ""])
    page = to_html(Document("title", "subtitle", [Section("runs", "Runs", [table])]))
    (tmp_path / "report.pdf").write_bytes(pdf.to_pdf(page, tmp_path))
    notes = [note.get_object() for page in PdfReader(tmp_path / "report.pdf").pages for note in page.get("/Annots", ())]
    (address,) = [note["/A"]["/URI"] for note in notes if "/URI" in note.get("/A", ())]
    assert tmp_path / unquote(address.removeprefix("file://")) == target


def test_without_a_renderer_both_remedies_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "weasyprint_renderer", lambda: None)
    monkeypatch.setattr(pdf, "find_browser", lambda: None)
    with pytest.raises(UsageError, match=r"pip install 'balanced-mixup\[pdf\]'.*apt install chromium.*neither is installed"):
        pdf.to_pdf("<p>", tmp_path)


def test_a_browser_that_fails_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "weasyprint_renderer", lambda: None)
    monkeypatch.setattr(pdf, "find_browser", lambda: "false")
    with pytest.raises(RunError, match="false could not write the PDF"):
        pdf.to_pdf("<p>", tmp_path)


def test_figures_are_files(made_run, monkeypatch):
    run = made_run(["a", "b"], 40)
    made = []
    monkeypatch.setattr(write, "make_report", lambda *arguments: made.append(make_report(*arguments)) or made[0])
    assert write_report(run) == run / "report.html"
    for chart in made[0].charts():
        for kind in ("svg", "png"):
            assert (run / "report-figures" / f"{chart.name}.{kind}").stat().st_size > 100
        numbers = pd.read_csv(run / "report-figures" / f"{chart.name}.csv")
        pd.testing.assert_frame_equal(numbers, chart.drawing.numbers.reset_index(drop=True), check_dtype=False, rtol=1e-9)


def of_charts(**classes):
    """Return a function that makes a report of a chart for each name, of these classes, in place of `make_report`."""
    charts = [Chart(name, "", prior_bars(names, np.ones(2) / 2, np.ones(2) / 2)) for name, names in classes.items()]
    return lambda *_: Document("title", "subtitle", [Section("gallery", "Gallery", charts)])


def test_figures_of_an_earlier_report_go_and_the_users_files_stay(made_run, monkeypatch):
    run = made_run(["a", "b"], 40)
    figures = run / "report-figures"
    monkeypatch.setattr(write, "make_report", of_charts(roc="ab", cost="ab"))
    write_report(run, form="md")
    kept = {"mine.png", "mine.svg", "mine.jpg", "gallery-1-2-1.jpg"}
    for name in kept:
        (figures / name).write_bytes(b"")
    monkeypatch.setattr(write, "make_report", of_charts(roc="ab"))
    of_roc = {"roc.svg", "roc.png", "roc.csv"}
    write_report(run, form="html")  # report.md is there still, with the images of its gallery
    assert {path.name for path in figures.iterdir()} == of_roc | kept
    write_report(run, form="md")
    assert {path.name for path in figures.iterdir()} == of_roc | kept - {"gallery-1-2-1.jpg"}


FOREIGN = "変病"  # which the figures' own font does not have


def test_letters_of_other_scripts_are_drawn_with_a_font_of_the_system(monkeypatch, made_run, caplog):
    """No machine needs such a font: one that has the letter of the test is the system's."""
    stix = str(Path(matplotlib.get_data_path()) / "fonts/ttf/STIXGeneral.ttf")
    letter = next(c for c in map(chr, FT2Font(stix).get_charmap()) if fonts._foreign(c))
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: [stix])
    fonts._fonts.cache_clear()
    figure = matplotlib.figure.Figure()
    drawn, plain = figure.text(0, 0, f"a {letter}"), figure.text(0, 1, "plain")
    fonts.use_system_fonts(figure)
    assert drawn.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"] and plain.get_fontfamily() != drawn.get_fontfamily()
    assert fonts.missing_letters(f"é ü Ж 😀 {letter} {FOREIGN}") == "".join(sorted(FOREIGN))
    monkeypatch.setattr(write, "make_report", of_charts(roc=["plain", f"name {FOREIGN}"]))
    write_report(made_run(["a", "b"], 40))
    assert f"2 letters such as {FOREIGN} are shown as boxes in the PNG figures, as no installed font has them." in caplog.text
    fonts._fonts.cache_clear()


def test_the_page_needs_nothing_else(page):
    page = Page(page)
    addresses = [value for name, value in page.attributes if name in ("src", "href", "xlink:href") and value]
    assert addresses
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in addresses)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert all(value[1:] in ids for value in addresses if value.startswith("#"))


def test_every_image_has_an_alternative(page):
    for tag in re.findall(r"<img [^>]*>", page):
        assert re.search(r'alt="[^"]+"', tag)
    for tag in re.findall(r"<svg [^>]*>", page):
        assert re.search(r'aria-label="[^"]+"', tag)


def test_figures_take_the_colours_of_the_page(page):
    svgs = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    for svg in svgs:
        assert "currentColor" in svg
        assert not re.search(r"#fff(fff)?\b|: white|#222222", svg)


def test_odd_names_are_shown_as_they_are(made_run, tmp_path):
    report = run_report(made_run(NASTY, 120))
    html = to_html(report)
    page = Page(html)
    assert page.tags.count("script") == 1
    text = " ".join(page.text)
    for name in NASTY:
        assert name in text
    assert "49 `code`" not in text
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        ElementTree.fromstring(svg.replace("xlink:href", "href"))
    assert "<script>" not in to_markdown(report, tmp_path).replace("\\<", "")


@pytest.mark.slow
def test_large_reports_are_small(made_run, tmp_path):
    run = made_run([f"class {k}" for k in range(500)], 50_000, replicates=2)
    assert write_report(run, tmp_path / "report.html").stat().st_size < 15e6


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
    assert command(["report", str(run), "--out", str(run / "metrics.json" / "x.MD")]) == 1
    assert "could not be written" in " ".join(capsys.readouterr().err.split())


def test_a_pdf_leaves_pillow_as_strict_about_truncated_images_as_it_was(monkeypatch):
    """WeasyPrint makes it lenient when it is imported: damaged images would pass unnoticed in the rest of the process."""
    for name in [name for name in sys.modules if name.split(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    pdf.weasyprint_renderer()
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
