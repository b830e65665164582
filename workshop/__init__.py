"""Kubernetes under the hood: the map of the building.

Each room holds one component; its own `__init__` says what the real one is and which files to read in which order.
Start with `ARCHITECTURE.md`, then `api/`, then the component you came for.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Cluster"]


def __getattr__(name: str) -> Any:
    """`workshop.Cluster`, imported when it is asked for: components do not pay for it, nor know it."""
    if name == "Cluster":
        return importlib.import_module("workshop.cluster.facade").Cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
