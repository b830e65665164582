"""Admission: the last word on a write, and its first correction."""
