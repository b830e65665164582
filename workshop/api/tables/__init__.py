"""Committed tables of facts about upstream, made by `tools/build_tables.py`."""
