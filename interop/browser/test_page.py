"""The page of a run in a real browser: it opens, bytes light up, nothing complains, and a stranger's name stays a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.browser.chromium import Chromium, Page
from minitls.trace.html import page
from minitls.trace.run import Run
from tests.conftest import NAME, Pki
from tests.runs import run
from tests.test_trace_html import hostile_runs

SIZES = {"phone": (360, 740), "desktop": (1440, 900)}


@pytest.fixture(scope="module", params=["tls13", "tls12-rsa", "tls13-early-data"])
def document(request: pytest.FixtureRequest, pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> str:
    ours, _, client, _ = run(pki, request.param)
    file = tmp_path_factory.mktemp("page") / "run.html"
    file.write_text(page(Run.of(ours, client.info, target={"host": NAME})), "utf-8")
    return file.as_uri()


def lit(shown: Page) -> list[str]:
    """The bytes that are lit up."""
    found: list[str] = shown.evaluate("[...document.querySelectorAll('.bytes .lit')].map(e => e.textContent)")
    return found


def colour(shown: Page, selector: str) -> str:
    return str(shown.evaluate(f"getComputedStyle(document.querySelector({selector!r})).backgroundColor"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_nothing_complains(browser: Chromium, document: str, size: str, dark: bool) -> None:
    width, height = SIZES[size]
    shown = browser.open(document, width=width, height=height, dark=dark)
    shown.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") == width, "it scrolls sideways"
    luminance = sum(map(int, colour(shown, "body").removeprefix("rgb(").removesuffix(")").split(",")))
    assert (luminance < 3 * 64) == dark
    assert shown.complaints() == []


def test_messages_open_and_bytes_light_up(browser: Chromium, document: str) -> None:
    """Every message, by clicks; in each, every field that is not folded."""
    shown = browser.open(document, width=1440, height=900)
    messages: list[str] = shown.evaluate(
        "[...document.querySelectorAll('.message')].filter(e => e.querySelector('.opened')).map(e => e.id)"
    )
    assert len(messages) > 5
    for message in messages:
        assert not shown.evaluate(f"document.getElementById('{message}').open")
        shown.click(f"#{message} > summary")
        assert shown.evaluate(f"document.getElementById('{message}').open")
        shown.hover(f"#{message} .fields > li:first-child > .field")
        first: str = shown.evaluate(f"document.getElementById('{message}b0').textContent")
        assert lit(shown) == [first]
        assert colour(shown, f"#{message}b0") == "rgb(255, 224, 138)"
        shown.hover(f"#{message} .about")
        assert lit(shown) == []
        shown.click(f"#{message} > summary")
    assert shown.complaints() == []


def test_a_field_with_parts_lights_all_of_them(browser: Chromium, document: str) -> None:
    shown = browser.open(document, width=1440, height=900)
    hello = str(shown.evaluate("[...document.querySelectorAll('.message')].find(e => e.textContent.includes('ClientHello')).id"))
    shown.click(f"#{hello} > summary")
    parts = f"#{hello} summary.field"
    shown.hover(parts)
    wanted = shown.evaluate(f"(e => Number(e.dataset.last) - Number(e.dataset.first) + 1)(document.querySelector('{parts}'))")
    assert len(lit(shown)) == wanted > 3
    shown.click(parts)
    shown.hover("h2")
    assert len(lit(shown)) == wanted, "a click keeps them lit"


def test_bytes_lead_to_their_field_and_the_keyboard_does_too(browser: Chromium, document: str) -> None:
    shown = browser.open(document, width=1440, height=900)
    hello = str(shown.evaluate("[...document.querySelectorAll('.message')].find(e => e.textContent.includes('ClientHello')).id"))
    shown.evaluate(f"document.querySelector('#{hello} > summary').focus()")
    shown.press("Enter")
    assert shown.evaluate(f"document.getElementById('{hello}').open")
    shown.press("Tab")
    assert shown.evaluate("document.activeElement.classList.contains('field')")
    assert len(lit(shown)) == 1
    shown.hover(f"#{hello}b2")
    assert shown.evaluate("document.querySelector('.field.lit .name').textContent") == "legacy_version"


def test_a_link_opens_its_message(browser: Chromium, document: str) -> None:
    shown = browser.open(document, width=1440, height=900)
    anchor = str(shown.evaluate("document.querySelectorAll('.phases a')[1].getAttribute('href')"))
    shown.click(f'.phases a[href="{anchor}"]')
    shown.evaluate("new Promise(done => setTimeout(done, 50))")
    assert shown.evaluate(f"document.querySelector('{anchor}').open")


def test_on_paper_everything_is_open(browser: Chromium, document: str) -> None:
    shown = browser.open(document, width=1440, height=900)
    assert shown.evaluate("document.querySelectorAll('details[open]').length") == 0
    assert shown.call("Page.printToPDF")["data"]
    assert shown.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert shown.complaints() == []


def test_without_scripts_all_of_it_can_be_read(browser: Chromium, document: str) -> None:
    shown = browser.open("about:blank", width=1440, height=900)
    shown.call("Emulation.setScriptExecutionDisabled", value=True)
    shown.call("Page.navigate", url=document)
    browser.wait_for("Page.loadEventFired", shown.session)
    shown.click(".message:has(.opened) > summary")
    assert shown.evaluate("document.querySelector('.message:has(.opened)').open")
    field = ".message[open] .fields > li:nth-child(2) > .field"
    shown.click(field)
    target = shown.evaluate(f"document.querySelector('{field}').getAttribute('href')")
    assert colour(shown, str(target)) == "rgb(255, 224, 138)"


def test_hostile_names_are_text(browser: Chromium, pki: Pki, tmp_path: Path) -> None:
    for number, made in enumerate(hostile_runs(pki).values()):
        file = tmp_path / f"{number}.html"
        file.write_text(page(made), "utf-8")
        shown = browser.open(file.as_uri())
        assert "<script>alert(1)</script>" in shown.evaluate("document.body.textContent")
        assert shown.evaluate("document.scripts.length") == 1
        assert shown.evaluate("document.images.length") == 0
        assert shown.complaints() == []


def test_the_policy_stops_what_would_get_in(browser: Chromium, pki: Pki, tmp_path: Path) -> None:
    """The second wall by itself: a script that somebody has put into the file does not run."""
    ours, _, client, _ = run(pki, "tls13")
    file = tmp_path / "run.html"
    file.write_text(page(Run.of(ours, client.info)).replace("<main>", "<main><script>document.title = 'in'</script>"), "utf-8")
    shown = browser.open(file.as_uri())
    assert shown.evaluate("document.title") != "in"
    assert any("Content Security Policy" in each for each in shown.complaints())
