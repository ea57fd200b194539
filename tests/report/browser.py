"""Headless Chromium, spoken to through a pipe by the DevTools protocol: opens a page, moves the mouse, asks the page.

Everything that the page wants is recorded: requests, dialogs, messages on the console, errors.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE

#: names of the program, Debian's first
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    *(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-pipe",
        "--no-first-run",
        "--hide-scrollbars",
    ),
    *("--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-default-browser-check", "--disable-dev-shm-usage", "--force-device-scale-factor=1"),
)


def find_chromium() -> str | None:
    """The path of the program, None where there is none."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


class Browser:
    """One Chromium with one page. events: what it reported, [(method, parameters)]."""

    def __init__(self, program: str, width: int = 1100, height: int = 900) -> None:
        self._folder = tempfile.mkdtemp(prefix="pytsn-chromium-")
        to_browser, self._writing = os.pipe()
        self._reading, from_browser = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_browser, from_browser)]  # clear of 3 and 4
        quiet = os.open(os.devnull, os.O_RDWR)
        ends = [(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)]
        outputs = [(os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
        arguments = [
            program,
            *_FLAGS,
            f"--user-data-dir={self._folder}",
            f"--window-size={width},{height}",
            "about:blank",
        ]
        self._process = os.posix_spawn(program, arguments, os.environ, file_actions=[*ends, *outputs], setsid=True)
        for end in (to_browser, from_browser, quiet, *high):
            os.close(end)
        self._number, self._waiting = 0, b""
        self.events: list[tuple[str, dict]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = None
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._writing)  # Chromium ends when its pipe does
        os.close(self._reading)
        os.waitpid(self._process, 0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, **parameters: object) -> dict:
        """The page's answer to a method of the protocol. Raises AssertionError with its error."""
        return self._call(method, session=self._session, **parameters)

    def open(self, path: Path) -> None:
        """Opens a file and waits until it is loaded; the events before are forgotten."""
        self.events.clear()
        answer = self.call("Page.navigate", url=path.resolve().as_uri())
        assert "errorText" not in answer, answer
        self.wait("Page.loadEventFired")

    def resize(self, width: int, height: int, ratio: float = 1) -> None:
        """Makes the window so large, in CSS pixels; ratio: device pixels in one of them."""
        size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page (a promise's when it is kept)."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, method: str) -> dict:
        """The parameters of the first such event, once it has come."""
        while True:
            found = next((parameters for name, parameters in self.events if name == method), None)
            if found is not None:
                return found
            self._take()

    def seen(self, method: str) -> list[dict]:
        """The parameters of all such events so far."""
        return [parameters for name, parameters in self.events if name == method]

    def move(self, x: float, y: float) -> None:
        """Moves the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        """Presses and releases the left button."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Presses and releases a key by its name in JavaScript (ArrowDown, Enter)."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Writes a PNG of the whole page, or of what the window shows."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(picture["data"]))

    def _call(self, method: str, session: str | None = None, **parameters: object) -> dict:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writing, data) :]
        while (answer := self._take()).get("id") != number:
            pass
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _take(self) -> dict:
        """The next message: an answer, or an event, which is kept."""
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._reading], [], [], PATIENCE)
            assert ready, "Chromium does not answer"
            data = os.read(self._reading, 1 << 16)
            assert data, "Chromium has ended"
            self._waiting += data
        line, self._waiting = self._waiting.split(b"\0", 1)
        message = json.loads(line)
        if "method" in message:
            self.events.append((message["method"], message.get("params", {})))
            if message["method"] == "Page.javascriptDialogOpening":  # else the page would wait for ever
                self._number += 1
                answer = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}}
                os.write(self._writing, json.dumps({**answer, "sessionId": message["sessionId"]}).encode() + b"\0")
        return message
