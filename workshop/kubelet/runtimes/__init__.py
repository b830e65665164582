"""Runtimes behind `cri.py`: `process` (real processes under a shim) and `simulated` (status only, for scale)."""
