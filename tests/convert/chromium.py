"""Control a headless Chromium over its debugging pipe: read a page's console and requests, and take pictures."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """One page; messages are JSON documents that end with a zero byte (Chrome DevTools Protocol)."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = os.fdopen(send, "wb"), os.fdopen(receive, "rb")
        self._number, self._session, self._rest = 0, "", b""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._session = ""
        self.call("Browser.close")
        self._send.close()
        self._receive.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result; events that arrive meanwhile are appended to `events`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._send.write(json.dumps(message).encode() + b"\0")
        self._send.flush()
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, method: str) -> None:
        """Wait until `events` has an event of this kind."""
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = self._receive.read1(1 << 20)  # type: ignore[attr-defined]
            assert more, "chromium has gone"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, path: Path) -> Self:
        assert "errorText" not in self.call("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")
        return self

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def look(self, *, width: int, scheme: str, picture: Path) -> None:
        """Set width and colour scheme, and write a picture of the whole page."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        picture.write_bytes(base64.b64decode(shot["data"]))

    def said(self) -> list[dict[str, Any]]:
        """Return all console messages, exceptions and log entries."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [e for e in self.events if e.get("method") in kinds]

    def requested(self) -> list[str]:
        """Return the URLs that the page requested."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent]


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Run Chromium with its own profile while the block runs."""
    assert PROGRAM is not None
    to_read, to_send = os.pipe()
    from_read, from_send = os.pipe()
    # Chromium reads from descriptor 3 and writes to 4; the shell puts the pipes there
    options = "--headless --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe"
    command = f'exec "$0" {options} "--user-data-dir=$1" 3<&{to_read} 4>&{from_send}'
    with subprocess.Popen(
        [shutil.which("bash") or "bash", "-c", command, PROGRAM, str(profile)],
        pass_fds=(to_read, from_send),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(to_read)
        os.close(from_send)
        try:
            page = Page(to_send, from_read)
            yield page
            page.close()
        finally:
            process.terminate()
