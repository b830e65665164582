"""JupyterLab as a process, and what can be waited for on a page of it: for the robot learner and the tests of views.

A page's events come from JupyterLab itself (`--expose-app-in-browser`), not from what it draws: the notebook's own
indicator says idle from the beginning, when there is no kernel yet and what is run is lost, and the status bar shows
the notebook that was in front before until it is drawn again.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 180.0
"""Seconds for whatever comes at once on a quiet machine."""
CONNECTED = """path => {
  const widget = window.jupyterapp?.shell.currentWidget, session = widget?.sessionContext;
  return session?.isReady && (!path || widget.context.path.endsWith(path))
    && session.session?.kernel?.connectionStatus === 'connected' && session.session.kernel.status === 'idle';
}"""
PROMPT = "cell => cell.querySelector('.jp-InputPrompt')?.textContent.trim() ?? ''"
ENDED = rf"""([cell, before]) => {{
  const prompt = ({PROMPT})(cell);
  return /^\[\d+\]:$/.test(prompt) && prompt !== before;
}}"""
SHOWN = """cell => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(
  () => done(cell.querySelector('.jp-OutputArea')?.innerText ?? ''))))"""
EXPECT_RESTART = """() => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  window.restarted = false;
  kernel.statusChanged.connect((_, status) => { window.restarted ||= /restarting$/.test(status); });
}"""


class Server:
    """A JupyterLab that listens. `begun` is when it was started; `close` ends it, and its kernels with it."""

    def __init__(self, argv: Sequence[str], settings: Mapping[str, str]) -> None:
        """`argv` gets no flags: see `flags`. Raises RuntimeError with what the program said."""
        self.said: list[str] = []
        self._announced = threading.Event()
        self.url = self.token = ""
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **settings}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._announced.wait(PATIENCE) or not self.url or not self._answers():
            self.close()
            raise RuntimeError("JupyterLab did not start:\n" + "\n".join(self.said[-30:]))

    def _answers(self) -> bool:
        """Wait until it listens: it prints its address before it binds the port, which its loop does later."""
        host, port = self.url.removeprefix("http://").split(":")
        while self.process.poll() is None and time.monotonic() < self.begun + PATIENCE:
            try:
                socket.create_connection((host, int(port)), PATIENCE).close()
                return True
            except ConnectionRefusedError:
                time.sleep(0.05)
        return False

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            found = re.search(r"(http://127\.0\.0\.1:\d+)/lab\S*\?token=(\w+)", line)
            if found and not self.url:
                self.url, self.token = found[1], found[2]
                self._announced.set()
        self._announced.set()  # it has ended

    def address(self, path: str) -> str:
        """Opens `path` alone, in a JupyterLab workspace of its own: what a learner before left open is not put back."""
        return f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{path}?token={self.token}"

    def listening(self) -> set[str]:
        """Addresses on which the server and its children listen."""
        found = set()
        server = psutil.Process(self.process.pid)
        for process in [server, *server.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


def flags() -> list[str]:
    """For `jupyter lab`: no browser, a port that nobody else gets, and its events for `idle`."""
    port = [f"--ServerApp.port={free_port()}", "--ServerApp.port_retries=0"]
    return ["--no-browser", "--expose-app-in-browser", *port]


def folders(home: Path) -> dict[str, str]:
    """Where JupyterLab and IPython keep what is theirs: all below `home`."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    return {name: str(home / name.lower()) for name in names}


def idle(page: Any, path: str = "", seconds: float = PATIENCE) -> None:
    """Return when the notebook in front (with `path`: this one is) has a connected kernel with nothing to do."""
    page.wait_for_function(CONNECTED, arg=path, timeout=seconds * 1000)


def restart(page: Any) -> None:
    """Restart the kernel of the notebook in front by its keys; return when the new one is idle."""
    page.evaluate(EXPECT_RESTART)
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    page.keyboard.press("0")
    page.locator(".jp-Dialog button.jp-mod-accept").click(timeout=PATIENCE * 1000)
    page.wait_for_function("() => window.restarted", timeout=PATIENCE * 1000)
    idle(page)


def run(page: Any, cell: Any, seconds: float = PATIENCE) -> str:
    """Shift+Enter on the active cell (an element handle); what it has put out when it was run to its end, which gives
    its prompt another number than it had. Raises TimeoutError."""
    before = page.evaluate(PROMPT, cell)
    page.keyboard.press("Shift+Enter")
    try:
        page.wait_for_function(ENDED, arg=[cell, before], timeout=seconds * 1000)
    except Exception as error:  # Playwright is imported only where there is one
        if type(error).__name__ != "TimeoutError":
            raise
        raise TimeoutError(f"a cell did not end within {seconds:.0f} s: {cell.inner_text()[:300]}") from None
    said: str = page.evaluate(SHOWN, cell)
    return said
