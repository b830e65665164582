"""A small kubectl, for a learner who has none: `workshop kubectl …` falls back to it.

It speaks the API as the stock one does and prints the server's own Tables, so what a learner sees is what the server
said. Read in this order:

- `session.py`  what a command works with: the client, the namespace, how a name becomes a resource
- `get.py`      get and its watch: Table, json, yaml, name
- `describe.py` an object in outline with its events
- `write.py`    apply (server-side), create, delete, label, scale
- `pods.py`     logs and exec (WebSocket, v5.channel.k8s.io)
- `waiting.py`  wait and rollout status: one watch, never a poll
- `access.py`   auth can-i
- `cli.py`      the arguments

Left out: everything that changes a kubeconfig, plugins, jsonpath beyond simple paths, printing by go-template,
client-side apply, port-forward, cp, attach, debug, edit, drain. The stock one has it: `cli.STOCK` says where to get it.
Upstream: `staging/src/k8s.io/kubectl`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str], kubeconfig: Path) -> int:
    """Run one command against the cluster of `kubeconfig`; returns the exit status."""
    from .cli import main as run

    return run(list(argv), str(kubeconfig))
