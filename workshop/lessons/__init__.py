"""What the labs stand on: predictions, exercises with checks and hints, and progress that survives. Read in this order:

- `exercise.py`  PURE: an exercise, what a judge finds, how hints go from tier to tier
- `progress.py`  one file a learner; broken or cut off, it is put aside and nothing else is lost
- `lab.py`       `Lab`: one cluster, its board, `predict`, `check`, `hint`, `solution`, `reset`, `progress`
- `look.py`      one process opened: its command line, and who it is connected to, as the system shows it
- `magic.py`     `%%kubectl` and `%kubectl`
- `tour.py`      the exercises of lab 00
- `runner.py`    runs a lab from top to bottom without a browser, unsolved or solved; builds `.ipynb` from `.md`
"""

from typing import Any

from .lab import Lab

__all__ = ["Lab"]


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workshop.lessons`"""
    from . import magic

    magic.register(shell)
