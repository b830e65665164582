"""A robot learner: drives the JupyterLab of `make lab` in a headless Chromium, as somebody in front of it would.

- `desk.py`     starts `make lab`, and knows its address
- `learner.py`  reads a notebook cell by cell, gets a check wrong, reads the hint, does it right
- `__main__.py` `python -m tests.robot [LAB…] [--pictures DIR]`: all labs, with pictures
"""
