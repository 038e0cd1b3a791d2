"""A real headless Chromium, driven over the W3C WebDriver protocol, which is plain HTTP and needs no library."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.waiting import PATIENCE_S, eventually

DRIVER, CHROMIUM = shutil.which("chromedriver"), shutil.which("chromium")
needs_browser = pytest.mark.skipif(
    DRIVER is None or CHROMIUM is None,
    reason="no chromium and chromedriver here; on Debian: apt install chromium chromium-driver",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's own name for a reference
TAB, ENTER = "\ue004", "\ue007"
# no sandbox: it needs rights that a container's root does not have; the rest keeps it off the network
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --no-proxy-server"
).split()
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser window; `url` is the driver's address of it."""

    url: str

    def open(self, address: str) -> None:
        self._call("url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, and return its result."""
        return self._call("execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page that calls its last argument with its result, and return that."""
        return self._call("execute/async", {"script": script, "args": list(arguments)})

    def address(self) -> str:
        """Return the address of the page."""
        return str(self._call("url"))

    def element(self, selector: str) -> str:
        """Return the reference of the first element that matches the CSS selector; an error if there is none."""
        return str(self._call("element", {"using": "css selector", "value": selector})[ELEMENT])

    def click(self, selector: str) -> None:
        self._call(f"element/{self.element(selector)}/click", {})

    def press(self, key: str) -> None:
        """Press a key on the focused element."""
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def label(self, selector: str) -> tuple[str, str]:
        """Return the element's role and name for screen readers."""
        element = self.element(selector)
        return str(self._call(f"element/{element}/computedrole")), str(self._call(f"element/{element}/computedlabel"))

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Run a command of the browser's developer tools."""
        return self._call("goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width: int, height: int) -> None:
        """Set the size of the screen in CSS pixels."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def prefer(self, scheme: str) -> None:
        """Set the preferred colour scheme, light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path: Path) -> None:
        """Save a screenshot as a PNG file."""
        path.write_bytes(base64.b64decode(self._call("screenshot")))

    def text(self) -> str:
        """Return the visible text of the page."""
        return str(self.run("return document.body.innerText"))

    def complaints(self) -> list[str]:
        """Return the messages in the browser's console since the last call."""
        return [entry["message"] for entry in self._call("se/log", {"type": "browser"})]

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds, with the patience of all tests."""
        eventually(holds, lambda: self.text())

    def _call(self, command: str, body: Any = None) -> Any:
        return driver_call(f"{self.url}/{command}", body)


def driver_call(url: str, body: Any = None, method: str | None = None) -> Any:
    """Send one command to the driver. Raises AssertionError with the driver's message."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with _DIRECT.open(request, timeout=PATIENCE_S) as reply:
            return json.load(reply)["value"]
    except HTTPError as error:
        raise AssertionError(error.read().decode(errors="replace")[:800]) from None


@contextmanager
def running_browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """Hold a driver and a browser with an empty profile in that folder and more flags; both end with the block."""
    assert DRIVER is not None
    assert CHROMIUM is not None
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        try:
            assert driver.stdout is not None
            line = next(line for line in driver.stdout if "on port" in line and "started" in line)
            port = line.strip().rstrip(".").rpartition(" ")[2]
            root = f"http://127.0.0.1:{port}"
            options = {"binary": CHROMIUM, "args": [*FLAGS, *flags, f"--user-data-dir={profile}"]}
            patience_ms = round(PATIENCE_S * 1000)
            capabilities = {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
                "timeouts": {"script": patience_ms, "pageLoad": patience_ms},
            }
            document = {"capabilities": {"alwaysMatch": capabilities}}
            session = f"{root}/session/{driver_call(f'{root}/session', document)['sessionId']}"
            try:
                yield Browser(session)
            finally:
                driver_call(session, method="DELETE")
        finally:
            driver.terminate()
