"""A real browser for tests, headless, spoken to over a pair of pipes: it needs Chromium and no package."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.installed import program

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)


class Browser:
    """A browser with one page.

    Args:
        folder: Takes its profile.

    Raises:
        NotInstalled: there is none.

    Attributes:
        requested: The address of everything that the page asked for.
        complaints: Errors and warnings of the page's scripts and of the browser about them.
    """

    def __init__(self, folder: Path) -> None:
        chromium = program(*PROGRAMS, what="Chromium")
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._number = 0
        self._rest = b""
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        # It reads from descriptor 3 and writes to 4, whatever the ends of our pipes are called.
        redirect = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        pages = self._call("Target.getTargets", session=False)["targetInfos"]
        target = next(each["targetId"] for each in pages if each["type"] == "page")
        self._session = ""
        attached = self._call("Target.attachToTarget", session=False, targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Network", "Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._to)
        os.close(self._from)

    def log_in(self, credentials: str) -> None:
        """Sends user:password with every request, as a browser does after a user has typed them in."""
        encoded = base64.b64encode(credentials.encode()).decode()
        self._call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {encoded}"})

    def open(self, url: str) -> None:
        """Goes to a page, and does not wait for it."""
        self._call("Page.navigate", url=url)

    def look(self, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Gives the page a width and a height in pixels, and a reader who prefers dark pages or light ones."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def picture(self) -> bytes:
        """Returns what is seen, as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def evaluate(self, expression: str) -> Any:
        """Returns what a JavaScript expression gives in the page."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str, seconds: float = 60.0) -> None:
        """Waits until an expression holds in the page."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, (expression, self.complaints)

    def _call(self, method: str, *, session: bool = True, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _read(self, seconds: float = 60.0) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], seconds)
            assert ready, "the browser says nothing any more"
            more = os.read(self._from, 65_536)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        details = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(details["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(details["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if details["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(details["args"]))
            case "Log.entryAdded" if details["entry"]["level"] in ("error", "warning"):
                self.complaints.append(details["entry"]["text"])
