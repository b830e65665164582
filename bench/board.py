"""The board under load: from a change that the kernel has received to the pixel that shows it.

5,000 objects, 200 changes a second, 1,000 pods on show (the map), in JupyterLab in headless Chromium. The kernel stamps
each change when its watch stream delivers it; the page looks at its clock, the same machine's, in the frame after the
one that drew it.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .clusters import ROOT
from .figures import Figure

RATE = 200.0
CELL = """from workshop.views import Board
board = Board.attach({path!r}, tab="map")
board"""
CONFIG = """{{"current-context": "c", "contexts": [{{"name": "c", "context": {{"cluster": "c"}}}}],
"clusters": [{{"name": "c", "cluster": {{"server": "http://127.0.0.1:{port}"}}}}]}}"""
MEASURE = """seconds => new Promise(done => {
  const view = document.querySelector('.ws-board').view;
  let frames = 0, last = performance.now(), longest = 0;
  view.latencies = [];
  const frame = now => {
    frames++; longest = Math.max(longest, now - last); last = now;
    if (view.latencies) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  setTimeout(() => {
    const rows = [...view.time.rows.values()], latencies = view.latencies;
    view.latencies = null;
    done({ latencies, frames, longest, rows: rows.length, canvas: view.map.big,
           pods: rows.filter(row => row.type === 'pod').length });
  }, seconds * 1000);
})"""


def latency(seconds: float) -> list[Figure]:
    """Median and 99th percentile in milliseconds, measured for `seconds`."""
    from tests.views import browser, notebook

    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        config = Path(folder, "config.json")
        config.write_text(CONFIG.format(port=port))
        command = [sys.executable, "-m", "bench.many_objects", str(port), str(RATE)]
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()
            with notebook.lab(CELL.format(path=str(config))) as url, browser.chromium() as chromium:
                found = _in_browser(chromium, url, seconds, notebook)
        finally:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
    # a step carries what came between two batches, and the time of its oldest change: that counts for all of them
    times = sorted(late for late, changes in found["latencies"] for _ in range(changes))
    assert found["pods"] >= 1000 and found["canvas"] and len(times) > RATE * seconds / 2, {
        **found, "latencies": len(times)
    }  # fmt: skip
    detail = f"{len(times)} changes, {found['rows']} rows, {found['frames'] / seconds:.0f} frames a second, "
    detail += f"longest frame {found['longest']:.0f} ms"
    return [
        Figure("board: kernel to pixel, median", statistics.median(times), "ms", 100, 50, detail),
        Figure("board: kernel to pixel, 99th", times[int(len(times) * 0.99)], "ms", 250, 150, detail),
    ]


def _in_browser(chromium: Any, url: str, seconds: float, notebook: Any) -> Any:
    page = chromium.new_page(viewport={"width": 1400, "height": 950})
    page.set_default_timeout(120_000)
    page.goto(url)
    notebook.wait_idle(page)
    notebook.run_cell(page, 0)
    page.wait_for_function("() => document.querySelector('.ws-board')?.view?.time.rows.size > 4000")
    page.wait_for_timeout(3000)  # what comes with the start is not what is measured
    found = page.evaluate(MEASURE, seconds)
    shots = os.environ.get("BENCH_SCREENSHOT")
    if shots:
        page.screenshot(path=shots)
    return found


def available() -> bool:
    return shutil.which("chromium") is not None
