"""Kubernetes under the hood: the map of the building.

Each room holds one component; its own `__init__` says what the real one is and which files to read in which order.
Start with `ARCHITECTURE.md`, then `api/`, then the component you came for.
"""
