"""The README's pictures, made anew from a real run: ``python -m interop.pictures`` (Chromium has to be installed).

``page.webp`` is the page that ``minitls demo --html`` writes, ``message.webp`` a message of it, opened; each also as ``-dark``.
``trace.svg`` is what ``minitls demo --trace`` prints on a terminal.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from interop.browser.chromium import Page, find, running
from minitls.cli.colour import STYLES
from minitls.trace.run import load
from minitls.trace.text import draw

HERE = Path(__file__).parent
WIDTH, HEIGHT, LOWER = 1200, 900, 760
COLUMNS, LINES = 104, 50
QUALITY = 72


OPEN = """(() => {
  const hello = [...document.querySelectorAll('.message')].find(each => each.textContent.includes('ClientHello'));
  const inside = name => [...hello.querySelectorAll('details')].find(
    each => each.querySelector('.name').textContent === name && !each.closest('details details details details'));
  hello.open = true;
  for (const name of ['extensions', 'supported_groups']) inside(name).open = true;
})()"""
"""The hello with its groups."""
LIT = ".message[open] details[open] details[open] > summary.field"


def picture(shown: Page, name: str, dark: bool) -> None:
    file = HERE / f"{name}{'-dark' if dark else ''}.webp"
    shown.screenshot(file, format="webp", quality=QUALITY)
    print(f"{file}: {file.stat().st_size:,} bytes")


def main() -> None:
    program = find()
    if program is None:
        sys.exit("Chromium is missing (apt install chromium)")
    from minitls.cli import main as minitls

    with tempfile.TemporaryDirectory() as folder:
        page, saved = Path(folder, "run.html"), Path(folder, "run.json")
        status = minitls(["demo", "--policy", "modern", "--trace", "--html", str(page), "--save-run", str(saved)])
        assert status == 0, status
        (run,) = load(saved.read_bytes())
        with running(program) as browser:
            for dark in (False, True):
                shown = browser.open(page.as_uri(), width=WIDTH, height=HEIGHT, dark=dark)
                picture(shown, "page", dark)
                shown.call("Emulation.setDeviceMetricsOverride", width=WIDTH, height=LOWER, deviceScaleFactor=1, mobile=False)
                shown.evaluate(OPEN)
                shown.evaluate("document.querySelector('.message[open]').scrollIntoView()")
                shown.evaluate(f"document.querySelector({LIT!r}).focus({{preventScroll: true}})")
                picture(shown, "message", dark)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in draw("client", run.recording.timeline, width=COLUMNS)[:LINES]:
        console.print(Text.assemble(*((span.text, STYLES.get(span.style, "")) for span in line), no_wrap=True))
    svg = HERE / "trace.svg"
    console.save_svg(str(svg), title="minitls demo --trace --policy modern")
    print(f"{svg}: {svg.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
