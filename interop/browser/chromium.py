"""A headless Chromium that does what it is told, by the DevTools protocol over a pair of pipes: no port, no driver, no package."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds for anything: the first start of a browser takes its time."""
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The program, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Chromium:
    """The browser.  ``events``: what it has told and nobody has taken."""

    process: subprocess.Popen[bytes]
    to: int
    back: int
    events: list[dict[str, Any]] = field(default_factory=list)
    _number: int = 0
    _buffer: bytes = b""

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """A command and its result; what is told meanwhile is kept."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        message = json.dumps(command if session is None else command | {"sessionId": session}).encode() + b"\0"
        while message:
            message = message[os.write(self.to, message) :]
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, (method, said["error"])
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """The next event of this name, which may have been told already."""
        while True:
            for number, event in enumerate(self.events):
                if event.get("method") == method and event.get("sessionId") == session:
                    del self.events[number]
                    return event
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.back], [], [], max(until - time.monotonic(), 0))
            assert ready, "the browser says nothing"
            data = os.read(self.back, 2**20)
            assert data, "the browser is gone"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        said: dict[str, Any] = json.loads(message)
        return said

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, mobile: bool = False) -> Page:
        """A page in a window of its own, loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        page.call("Emulation.setEmulatedMedia", features=[{"name": name, "value": value} for name, value in wishes.items()])
        page.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired", session)
        return page


@dataclass
class Page:
    browser: Chromium
    session: str

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """What JavaScript gives, as JSON."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def point(self, selector: str) -> tuple[float, float]:
        """The middle of an element, scrolled into view."""
        script = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const r = e.getClientRects()[0]; return [r.x + Math.min(r.width / 2, 60), r.y + r.height / 2] })()"
        )
        x, y = self.evaluate(script)
        return x, y

    def hover(self, selector: str) -> None:
        x, y = self.point(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        x, y = self.point(selector)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def press(self, key: str) -> None:
        codes = {"Tab": 9, "Enter": 13}
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **more)

    def screenshot(self, path: Path, *, whole: bool = False, **how: Any) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole, **how)["data"]))

    def complaints(self) -> list[str]:
        """Errors on the console, exceptions, what the policy has stopped."""
        self.evaluate("0")  # what was told before it has come by now
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, told = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(str(told["entry"]["text"]))
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(str(told["args"]))
        return found


@contextlib.contextmanager
def running(program: str, home: Path | None = None) -> Iterator[Chromium]:
    """The browser with a profile of its own, until the end of the block.  ``home``: where it looks whom its user trusts."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        theirs, to = os.pipe()
        back, ours = os.pipe()
        options = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run", "--hide-scrollbars"]
        options += ["--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # which root cannot have
        command = ["bash", "-c", f'exec "$0" "$@" 3<&{theirs} 4>&{ours}', program, *options, "about:blank"]
        process = subprocess.Popen(
            command,
            pass_fds=(theirs, ours),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | ({} if home is None else {"HOME": str(home)}),
        )
        os.close(theirs)
        os.close(ours)
        browser = Chromium(process, to, back)
        try:
            yield browser
        finally:
            with contextlib.suppress(AssertionError, OSError):
                browser.call("Browser.close")
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(to)
            os.close(back)
