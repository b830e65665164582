"""Why a cluster does not come up: the last words of those of its processes that end again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workshop.cluster.layout import Layout

WINDOW = 4096


def of(rows: Iterable[Mapping[str, Any]], layout: Layout) -> str:
    """`; etcd ends again and again, it said: …` for each; "" when all run. `rows` as `workshop ps -o json` has them."""
    found = []
    for row in rows:
        if row["state"] in ("restarting", "ended", "failed") and (said := last_words(layout.log(row["name"]))):
            found.append(f"; {row['name']} ends again and again, it said: {said}")
    return "".join(found)


def last_words(log: Path) -> str:
    """The last line that is no ordinary log line, as a program prints before it ends; "" without one."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - WINDOW))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip() and not is_klog(line)), "")


def is_klog(line: str) -> bool:
    """An informative line of klog: `I1128 21:53:09.667702    7417 node.py:335] …`."""
    return line[:1] == "I" and line[1:5].isdigit()
