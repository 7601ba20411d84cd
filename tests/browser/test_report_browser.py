"""The report in a browser: nothing from the network, readable on phones and wide screens, a viewer that works."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.report_example import viewer_samples, write_example

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: found no chromium or google-chrome in PATH")

PIXELS = 24
RAIL = "#viewer-1 .slider-rail-touch-rect"

# Text against what lies behind it, WCAG's relative luminances; hidden text has no rectangles.
LOW_CONTRAST = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((v) => v / 255).map(
    (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { for (let n = node; n; n = n.parentElement) {
    const c = parse(getComputedStyle(n).backgroundColor); if (c[3] > 0) return c; } return [255, 255, 255, 1]; };
  const low = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const skipped = node.closest('script, style, noscript') || !node.getClientRects().length;
    if (skipped || !walker.currentNode.data.trim()) continue;
    const style = getComputedStyle(node), svg = node instanceof SVGElement;
    const [a, b] = [light(parse(svg ? style.fill : style.color)), light(behind(node))].sort((x, y) => y - x);
    count += 1;
    if ((a + 0.05) / (b + 0.05) <= 4.5) low.push(`${walker.currentNode.data.trim()}: ${(a + 0.05) / (b + 0.05)}`);
  }
  return [count, low];
}"""


@dataclass
class Opened:
    """A page, with all that went wrong and all that it asked for."""

    page: Any
    problems: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def view(self, number: int) -> dict[str, Any]:
        """What a figure of the viewer shows."""
        return dict(
            self.page.evaluate(
                """(id) => { const plot = document.getElementById(id), text = (s) => plot.querySelector(s)?.textContent;
                return {visible: plot.data.map((trace) => trace.visible), title: text('.gtitle'),
                        unit: text('.infolayer .cbtitle text'),
                        images: [...plot.querySelectorAll('.heatmaplayer image')].map((i) => i.getAttribute('href')
                          ?? i.getAttribute('xlink:href'))} }""",
                f"viewer-{number}",
            )
        )

    def box(self, selector: str) -> dict[str, float]:
        element = self.page.locator(selector).first
        element.scroll_into_view_if_needed()
        return dict(element.bounding_box())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    cases = folder / "cases.csv"
    cases.write_text("case,held_out,pearson,mae_share_of_max\noverfocused by 5 nm,tilt,0.93,0.031\n")
    return write_example(folder, viewer=viewer_samples(PIXELS), generalisation=cases, cost=cases)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_report(width: int, **options: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        found = Opened(context.new_page())
        page = found.page
        page.on("console", lambda m: found.problems.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: found.problems.append(str(error)))
        page.on("requestfailed", lambda request: found.problems.append(request.url))
        page.on("request", lambda request: found.addresses.append(request.url))
        page.goto(report.as_uri())
        page.wait_for_selector("#viewer-2 .heatmaplayer image", state="attached")
        return found

    yield open_report
    for context in contexts:
        context.close()


def test_report_loads_without_errors_or_requests(opened: Callable[..., Opened], report: Path) -> None:
    found = opened(1600)
    assert found.problems == []
    assert [address for address in found.addresses if not address.startswith(("data:", "blob:"))] == [report.as_uri()]
    widths = found.page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth)")
    assert widths == [90, 90]


def test_the_page_itself_forbids_requests(opened: Callable[..., Opened]) -> None:
    found = opened(800)
    found.page.evaluate("fetch('https://example.org/').catch(() => 0)")
    assert any("Content Security Policy" in problem for problem in found.problems)
    assert not any(address.startswith("http") for address in found.addresses)


@pytest.mark.parametrize(("width", "across"), [(360, 1), (800, 2), (1600, 2)])
def test_the_page_fits_its_window(opened: Callable[..., Opened], width: int, across: int) -> None:
    page = opened(width).page
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = page.evaluate(
        "[...document.querySelectorAll('.viewer article')].map((part) => part.getBoundingClientRect())"
    )
    assert len({box["x"] for box in boxes}) == across
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    inside = page.evaluate(
        """[...document.querySelectorAll('.plot text')].map((text) => [text, text.closest('.plot')].map(
        (part) => part.getBoundingClientRect())).every(([a, b]) => a.left >= b.left - 1 && a.right <= b.right + 1)"""
    )
    assert inside
    assert page.locator("#viewer-1 .slider-label-group").count() == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(opened: Callable[..., Opened], scheme: str) -> None:
    page = opened(800, color_scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 384) == (scheme == "dark")
    count, low = page.evaluate(LOW_CONTRAST)
    assert count > 200
    assert low == []


def test_slider_steps_through_the_images(opened: Callable[..., Opened]) -> None:
    found = opened(1600)
    other, before = found.view(2), found.view(1)
    assert before["title"] == "Prediction" and before["unit"] == "V Å" and before["visible"].index(True) == 2
    rail, grip = found.box(RAIL), found.box("#viewer-1 .slider-grip-rect")
    mouse = found.page.mouse
    mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    mouse.down()
    seen = [before]
    for share, title, unit in ((0.02, "Input", "of beam"), (0.98, "Difference", "V Å")):
        mouse.move(rail["x"] + share * rail["width"], grip["y"] + grip["height"] / 2, steps=4)
        wait_for_title(found, title)
        now = found.view(1)
        assert now["unit"] == unit and now["visible"].count(True) == 1
        seen.append(now)
    mouse.up()
    assert [view["visible"].index(True) for view in seen] == [2, 0, 4]
    assert all(len(view["images"]) == 1 for view in seen) and len({view["images"][0] for view in seen}) == 3
    assert found.view(2) == other
    assert found.problems == []


def wait_for_title(found: Opened, title: str) -> None:
    """Wait for the first figure's title; as a function, since the page forbids to evaluate text."""
    found.page.wait_for_function(
        "(title) => document.querySelector('#viewer-1 .gtitle').textContent === title", arg=title
    )


def check_hover(found: Opened) -> None:
    """The hover text has the value of the prediction where it says to be."""
    text = found.page.locator("#viewer-1 .hoverlayer .hovertext").first.text_content().replace("−", "-")
    position = re.match(r"x (-?[\d.]+) Å, y (-?[\d.]+) Å", text)
    assert position is not None
    column, row = (round(float(value) / 0.2 + (PIXELS - 1) / 2) for value in position.groups())
    value = viewer_samples(PIXELS)[0].views["Prediction"].image[row, column]
    assert text.endswith(f"{value:,.0f} V Å".replace(",", "\u202f"))


def test_hovering_gives_position_and_value(opened: Callable[..., Opened]) -> None:
    found = opened(1600)
    box = found.box("#viewer-1 .nsewdrag")
    found.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.7 * box["height"])
    found.page.wait_for_selector("#viewer-1 .hoverlayer .hovertext")
    check_hover(found)


def test_phone_taps_give_values_and_move_the_slider(opened: Callable[..., Opened]) -> None:
    found = opened(360, has_touch=True, is_mobile=True)
    box = found.box("#viewer-1 .nsewdrag")
    found.page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    found.page.wait_for_selector("#viewer-1 .hoverlayer .hovertext")
    check_hover(found)
    rail = found.box(RAIL)
    found.page.touchscreen.tap(rail["x"] + 0.97 * rail["width"], rail["y"] + 15)
    wait_for_title(found, "Difference")
    assert found.problems == []
