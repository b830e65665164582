"""`make lab` as a process, and where it listens."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


class Desk:
    """JupyterLab by `make lab`, with a home of its own. `begun` is when make was called."""

    def __init__(self, home: Path) -> None:
        prefix = Path(sys.prefix)
        # JupyterLab saves what is open; the notebooks of the checkout stay as they are
        shutil.copytree(ROOT / "labs", home / "labs", ignore=shutil.ignore_patterns("*.md"))
        flags = "--no-browser --ServerApp.port_retries=50"
        argv = ["make", "-s", "lab", f"VENV={prefix}", "READY=", f"LABS={home}/labs", f"LAB_FLAGS={flags}"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "WORKSHOP_HOME": str(home),
            "WORKSHOP_LAB_MODE": "plain",
            "JUPYTER_RUNTIME_DIR": f"{home}/jupyter-runtime",
            "JUPYTER_CONFIG_DIR": f"{home}/jupyter-config",
            "IPYTHONDIR": f"{home}/ipython",
        }
        self.said: list[str] = []
        self._listening = threading.Event()
        self.url = ""
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(60):
            self.close()
            raise RuntimeError("JupyterLab did not start:\n" + "\n".join(self.said[-30:]))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            found = re.search(r"(http://127\.0\.0\.1:\d+)/lab\S*\?token=(\w+)", line)
            if found and not self.url:
                self.url, self.token = found[1], found[2]
                self._listening.set()

    def address(self, path: str) -> str:
        """Opens `path` alone, in a JupyterLab workspace of its own: what a learner before left open is not put back."""
        return f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{path}?token={self.token}"

    def listening(self) -> set[str]:
        """Addresses on which the server and its children listen."""
        found = set()
        for process in [self._server(), *self._server().children(recursive=True)]:
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(connection.laddr.ip)
        return found

    def _server(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
