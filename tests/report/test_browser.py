"""The page in a real browser: opened from the disk without a network, by mouse and keyboard, wide and narrow, light and dark.

Needs Chromium (Debian: `apt install chromium`) and the packages playwright and axe-playwright-python.
"""

import pytest

from balanced_mixup.report.html import to_html
from balanced_mixup.report.pdf import find_browser
from balanced_mixup.report.run_report import run_report

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

CHROMIUM = find_browser()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tiny_report, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(to_html(tiny_report), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, path):
    """Return a function that opens a page from the disk, with the network off, and fails on whatever the console says."""
    contexts = []

    def open_page(width=1100, scheme="light", file=path, **more):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: pytest.fail(f"console: {message.text}"))
        page.on("pageerror", lambda error: pytest.fail(f"script: {error}"))
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else pytest.fail(request.url))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1100, "light")])
def test_accessible_and_within_the_screen(opened, width, scheme):
    page = opened(width, scheme)
    found = axe.Axe().run(page).response["violations"]
    assert not [(each["id"], [node["html"][:100] for node in each["nodes"]]) for each in found]
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_dark_is_dark(opened):
    colour = "getComputedStyle(document.body).backgroundColor"
    colours = [opened(scheme=scheme).evaluate(colour) for scheme in ("light", "dark")]
    assert colours == ["rgb(255, 255, 255)", "rgb(20, 24, 29)"]


def test_filter(opened):
    page = opened()
    gallery = page.locator(".gallery.filtered").first
    choice, pictures = gallery.locator("select"), gallery.locator(".picture")
    total = pictures.count()
    for option in choice.locator("option").all()[1:]:
        name, count = option.inner_text().rsplit(" (", 1)
        choice.select_option(option.get_attribute("value"))
        shown = [picture for picture in pictures.all() if picture.is_visible()]
        assert len(shown) == int(count.rstrip(")"))
        assert all(name in picture.locator("figcaption").inner_text() for picture in shown)
    choice.select_option("all")
    assert sum(picture.is_visible() for picture in pictures.all()) == total


def test_enlarge_by_keyboard(opened):
    page = opened()
    button = page.locator(".filtered .picture button").first
    before = button.locator("img").first.bounding_box()["width"]
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    assert dialog.locator("img").first.bounding_box()["width"] > 2 * before
    assert dialog.locator("p").inner_text().split()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    assert button.evaluate("button => button === document.activeElement")


def test_it_reads_without_a_script(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(".picture img").first.is_visible()
    assert page.locator(".filter, dialog").count() == 0


def test_odd_names_run_nothing(opened, made_run, tmp_path):
    run = made_run(["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "plain"], 60)
    (tmp_path / "report.html").write_text(to_html(run_report(run)), encoding="utf-8")
    page = opened(file=tmp_path / "report.html")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    assert "<img src=x onerror=alert(1)>" in page.inner_text("main")


def test_what_is_wider_than_the_screen_says_so(opened):
    shown = "[...document.querySelectorAll('.wide')].filter(wide => wide.checkVisibility())"
    cut = f"{shown}.filter(wide => wide.scrollWidth > wide.clientWidth + 1)"
    says = "wide => getComputedStyle(wide, '::before').content.includes('scroll') && wide.tabIndex === 0"
    narrow = opened(390)
    narrow.locator(".wide.cut").first.wait_for()
    assert narrow.evaluate(f"{cut}.every({says})")
    assert narrow.evaluate(f"{cut}.length") == narrow.locator(".wide.cut").count()
    figure = narrow.locator("#training .wide")
    figure.focus()
    moved = "wide => new Promise(moved => wide.addEventListener('scrollend', () => moved(wide.scrollLeft)))"
    before = figure.evaluate_handle(f"wide => {{ const scrolled = ({moved})(wide); return {{ scrolled }}; }}")
    narrow.keyboard.press("ArrowRight")
    assert before.evaluate("({ scrolled }) => scrolled") > 0
    wide = opened(1100)
    assert wide.evaluate(f"{cut}.length") == wide.locator(".wide.cut").count() == 0
