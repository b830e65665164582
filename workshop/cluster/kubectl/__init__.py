"""The small built-in kubectl: what `workshop kubectl` falls back to where no stock kubectl is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workshop.cluster.layout import ClusterError


def main(argv: Sequence[str], kubeconfig: Path) -> int:
    """Run one verb against the cluster of `kubeconfig`. Nothing is built in yet: says how to get the real one."""
    raise ClusterError("install kubectl 1.32 or newer (https://kubernetes.io/docs/tasks/tools) and put it on PATH")
