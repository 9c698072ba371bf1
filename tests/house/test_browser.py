"""The report in a real browser: headless Chromium."""

import datetime
import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nstbatch.cli.report.index import write_index
from nstbatch.cli.report.page import write_page
from nstbatch.cli.report.server import Server
from nstbatch.cli.report.thumbnails import make_thumbnails
from nstbatch.runtime.output.folder import FolderOutput
from nstbatch.runtime.output.journal import Entry, Journal
from nstbatch.runtime.output.names import STATE
from seams import picture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
HOSTILE = "<script>alert(1)<script>\"'&.png"

SIZES = "all => Promise.all(all.map(i => i.decode())).then(() => all.map(i => [i.naturalWidth, i.naturalHeight]))"
"""Of images, once they are decoded."""


@pytest.fixture(scope="module")
def chromium() -> Iterator["playwright.Browser"]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: "playwright.Browser") -> Iterator["playwright.Page"]:
    """A page that must not have anything to complain of."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield page
    context.close()
    assert said == []


def names(page: "playwright.Page") -> list[str]:
    return page.locator(".card h2").all_inner_texts()


def test_the_report_of_a_run(page: "playwright.Page", painted: Path) -> None:
    page.goto((painted / "report.html").as_uri())
    assert set(names(page)) == {"broken.jpg", "a.png", HOSTILE}
    assert names(page)[0] == "broken.jpg", "failures first"
    assert "not a picture" in page.locator(".card.failed .reason").inner_text()
    assert "2 painted · 1 failed" in page.locator("#totals").inner_text()
    box = page.locator(".card", has_text="a.png").last
    assert box.locator("img").evaluate_all(SIZES) == [[60, 44], [60, 44]], "photo and painting are there"
    slider, pair = box.locator(".slider"), box.locator(".pair")
    slider.fill("80")
    assert pair.evaluate("box => getComputedStyle(box).getPropertyValue('--at')") == "80%"
    slider.press("ArrowRight")
    assert pair.evaluate("box => getComputedStyle(box).getPropertyValue('--at')") == "81%"
    assert "log scale" in (box.locator("svg.curve").get_attribute("aria-label") or "")
    assert box.locator("svg.curve path").count() == 3
    assert box.locator("svg.curve line").count() == 1, "two sizes"
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("#styles img").evaluate_all(SIZES) == [[48, 36]], "the style is there"
    text = page.locator("body").inner_text()
    assert "all iterations done" not in text
    assert "leave it out with --exclude 'broken.jpg'" in text
    assert not page.locator(".pages").first.is_visible(), "there is one"
    finished = json.loads(page.locator("#data").text_content() or "")["rows"][1]["finished"]
    local = page.evaluate("t => new Date(t).toLocaleString(undefined, {dateStyle: 'medium', timeStyle: 'short'})", finished)
    assert local in text


def test_filters_search_and_order(page: "playwright.Page", painted: Path) -> None:
    page.goto((painted / "report.html").as_uri())
    page.locator("#show").select_option("failed")
    assert names(page) == ["broken.jpg"]
    page.locator("#show").select_option("painted")
    assert set(names(page)) == {"a.png", HOSTILE}
    page.locator("#order").select_option("name")
    assert names(page) == [HOSTILE, "a.png"]
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type("SCRIPT")
    assert names(page) == [HOSTILE]
    assert page.locator("#style").locator("option").all_inner_texts() == ["any", "starry"]
    page.locator("#style").select_option("starry")
    assert names(page) == [HOSTILE]


def test_what_is_chosen_is_in_the_address(page: "playwright.Page", painted: Path) -> None:
    address = (painted / "report.html").as_uri()
    page.goto(address)
    page.locator("#show").select_option("painted")
    page.locator("#order").select_option("name")
    page.locator("#query").fill("a.p")
    assert page.evaluate("location.href") == f"{address}#show=painted&order=name&query=a.p"
    page.reload()
    assert names(page) == ["a.png"]
    assert page.locator("#show").input_value() == "painted"
    page.goto(f"{address}#show=nonsense&page=x&query=nothing+of+that")
    assert page.locator("#nothing").is_visible()
    page.evaluate("location.hash = 'order=name'")
    page.locator(".card h2", has_text="a.png").last.wait_for()
    page.get_by_role("button", name="starry", exact=True).click()
    assert "style=starry" in page.evaluate("location.hash")
    assert page.locator("#style").input_value() == "starry"


@pytest.fixture
def phone(chromium: "playwright.Browser", painted: Path) -> Iterator["playwright.Page"]:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto((painted / "report.html").as_uri())
    yield page
    context.close()


def test_on_a_phone(phone: "playwright.Page") -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the screen"
    small = "all => all.filter(e => e.offsetParent && Math.min(e.offsetWidth, e.offsetHeight) < 44).map(e => e.outerHTML)"
    assert phone.locator("button, select, input, .bar a, summary").evaluate_all(small) == []
    box = phone.locator(".card", has_text="a.png").last
    pair = box.locator(".pair")
    pair.tap()
    phone.locator("#full").wait_for()
    full = phone.locator("#full").bounding_box()
    assert full is not None
    assert full["width"] == 390
    phone.locator("#close").tap()
    phone.locator("#full").wait_for(state="hidden")
    pair.scroll_into_view_if_needed()
    place = pair.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    touch = phone.context.new_cdp_session(phone)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for by in (10, 40, 90):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + by, "y": y}]})
    # Far below the picture: the border follows the finger.
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + 90, "y": y + 300}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    at = float(pair.evaluate("box => getComputedStyle(box).getPropertyValue('--at')").rstrip("%"))
    assert abs(at - 100 * (place["width"] / 2 + 90) / place["width"]) <= 1
    assert not phone.locator("#full").is_visible(), "it was no tap"


def test_arrows_turn_pictures_in_full_size(page: "playwright.Page", painted: Path) -> None:
    page.goto(f"{(painted / 'report.html').as_uri()}#order=name")
    page.get_by_role("button", name=f"{HOSTILE} in full size").click()
    page.keyboard.press("ArrowRight")
    assert page.locator("#full-name").inner_text() == "a.png"
    page.keyboard.press("ArrowRight")
    assert page.locator("#full-name").inner_text() == "a.png", "it is the last painting"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#full-name").inner_text() == HOSTILE
    slider = page.locator("#full .slider")
    slider.press("ArrowRight")
    assert (slider.input_value(), page.locator("#full-name").inner_text()) == ("51", HOSTILE)
    dark = page.locator("#full .pair").evaluate("box => getComputedStyle(box).backgroundColor")
    assert sum(map(int, dark[4:-1].split(","))) < 90


def test_an_index_of_several_outputs(page: "playwright.Page", painted: Path) -> None:
    shutil.copytree(painted, painted.parent / "<b>out")
    page.goto(write_index(painted.parent).as_uri())
    assert names(page) == ["<b>out", "out"]
    assert page.locator(".strip img").evaluate_all(SIZES) == [[60, 44]] * 4
    assert "2 painted · 1 failed" in page.locator(".output").first.inner_text()
    page.locator(".output").first.click()
    page.locator(".card h2", has_text="a.png").last.wait_for()
    assert "%3Cb%3Eout/report.html" in page.url
    server = Server(painted.parent, 0)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        page.goto(server.url)
        assert page.locator(".strip img").evaluate_all(SIZES) == [[60, 44]] * 4
        page.locator(".output").last.click()
        box = page.locator(".card", has_text="a.png").last
        assert box.locator("img").evaluate_all(SIZES) == [[60, 44], [60, 44]]
        page.get_by_role("button", name="a.png in full size").last.click()
        assert page.locator("#full img").evaluate_all(SIZES) == [[60, 44], [60, 44]]
    finally:
        server.shutdown()
        server.server_close()


def test_full_size_by_keyboard_and_click(page: "playwright.Page", painted: Path) -> None:
    page.goto((painted / "report.html").as_uri())
    page.locator("#order").select_option("name")
    page.get_by_role("button", name="a.png in full size").press("Enter")
    dialog = page.locator("#full")
    assert dialog.is_visible()
    assert dialog.locator("img").evaluate_all(SIZES) == [[60, 44], [60, 44]], "the pictures themselves"
    page.locator("#back").click()
    assert page.locator("#full-name").inner_text() == HOSTILE
    assert dialog.locator("img").evaluate_all(SIZES) == [[60, 44], [60, 44]]
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.locator(".card", has_text="a.png").last.locator(".pair").click()
    assert dialog.is_visible()
    page.get_by_role("button", name="close").click()
    assert not dialog.is_visible()


def test_dark_light_and_paper(page: "playwright.Page", painted: Path) -> None:
    page.goto((painted / "report.html").as_uri())
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))
    page.emulate_media(media="print", color_scheme="light")
    assert not page.locator("#controls").is_visible()
    assert page.locator(".card").first.is_visible()


def fill(root: Path, count: int) -> Journal:
    """An output folder of many paintings, all of one file."""
    (root / STATE).mkdir(parents=True)
    source = picture(root.parent / "photo.png")
    journal = Journal.read(root)
    curve = [[i, 40, 1e5 / (i + 1), 2e5 / (i + 1), 0.0] for i in range(48)]
    begun = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    lines = []
    for i in range(count):
        finished = (begun + datetime.timedelta(minutes=i)).isoformat()
        entry = Entry(
            f"{i:05d}.png",
            str(source),
            "painted",
            "all iterations done",
            finished,
            "0",
            loss=1e5,
            seconds=1 + i % 7,
            evaluations=48,
            style="starry" if i % 2 else "ember",
            curve=curve,
        )
        lines.append(entry.to_json())
        shutil.copy(source, root / f"{i:05d}.png")
    make_thumbnails(FolderOutput(root), entry)
    journal.path.write_text("\n".join(lines) + "\n")
    return Journal.read(root)


def test_two_thousand_pictures(page: "playwright.Page", tmp_path: Path, figures: dict[str, str]) -> None:
    root = tmp_path / "out"
    fill(root, 2000)
    began = time.perf_counter()
    path = write_page(root)
    written = time.perf_counter()
    page.goto(path.as_uri())
    opened = time.perf_counter()
    assert page.locator(".card").count() == 48
    page.get_by_role("button", name="last").first.click()
    page.locator(".card h2", has_text="00000.png").wait_for()
    turned = time.perf_counter()
    assert "1969 to 2000 of 2000" in page.locator(".place").first.inner_text()
    page.locator("#style").select_option("ember")
    assert "1 to 48 of 1000" in page.locator(".place").first.inner_text()
    page.keyboard.press("Tab")
    page.locator("h1").click()
    page.keyboard.press("]")
    assert "49 to 96 of 1000" in page.locator(".place").first.inner_text()
    figures["report of 2,000 pictures"] = (
        f"{path.stat().st_size / 1e6:.1f} MB, written in {written - began:.2f} s, opened in {opened - written:.2f} s, "
        f"paged to the last in {turned - opened:.2f} s"
    )


def test_watch_shows_what_is_new_and_what_is_on_the_easel(page: "playwright.Page", painted: Path) -> None:
    server = Server(painted, 0)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        page.goto(server.url)
        assert not page.locator("#easel").is_visible()
        status = {
            "host": platform.node(),
            "updated": datetime.datetime.now(datetime.UTC).isoformat(),
            "state": "running",
            "pid": os.getpid(),
            "current": "b.png",
            "fraction": 0.25,
            "seconds_left": 90,
            "left": 2,
        }
        picture(painted / STATE / "easel.jpg")
        (painted / STATE / "status.json").write_text(json.dumps(status | {"left": 2}))
        page.locator("#easel").wait_for(state="visible")
        assert page.locator("#easel-text").inner_text() == "painting b.png; 2 to do, about 1 min 30 s left"
        page.locator("#easel-picture").wait_for(state="visible")
        journal = Journal.read(painted)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        journal.append(Entry("b.png", "/b.png", "failed", "because", now, "0"))
        journal.close()
        page.locator(".card h2", has_text="b.png").wait_for()
        assert len(names(page)) == 4
        page.locator(".card", has_text="a.png").last.locator(".slider").fill("20")
        journal.append(Entry("c.png", "/c.png", "failed", "because", now, "0"))
        journal.close()
        page.locator(".card h2", has_text="c.png").wait_for()
        assert page.locator(".card", has_text="a.png").last.locator(".slider").input_value() == "20", "it stays"
    finally:
        server.shutdown()
        server.server_close()
