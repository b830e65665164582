"""What the labs stand on: predictions, exercises with checks and hints, and progress that survives. Read in this order:

- `exercise.py`  PURE: an exercise, what a judge finds, hints from tier to tier, the sections of a lab
- `workbench.py` one cluster in a learner's hands: `up`, `board`, `ask`, `kill`, `run`, `swap`, `reset`
- `lab.py`       `Lab`: a workbench with `section`, `catch_up`, `predict`, `check`, `hint`, `progress`
- `checks.py`    watches the state until it is right and stays right, and shows that this goes on
- `judge.py`     judges a swapped function by scenarios the learner has not seen, in a child process with limits
- `stage.py`     the state that a section needs, and how to get there from anywhere
- `progress.py`  one file; broken or cut off, it is put aside and nothing else is lost
- `own.py`       the learner's own program as a process; `ask.py` requests to Services and pods
- `look.py`, `audit.py`  one process opened: its sockets and files, what it watches and wrote (from the audit log)
- `cards.py`     what a lab shows of an exercise: task, result, hints; `show.py` how a card looks
- `index.py`, `magic.py`  the lab index; `%%kubectl` and what a fresh kernel says
- `wire.py`      HTTP by hand
- `tour.py`, `control_loop.py`, `etcd_lab.py` (`etcd_scenarios.py`), `api_server.py` (`api_server_judges.py`)  the labs
- `instructor/`  the board of a room of learners; `cli.py` its commands
- `warm.py`      what `make lab` does meanwhile; `home.py` a copy of the labs for who has no checkout
- `runner.py`    runs a lab without a browser, unsolved or solved; builds `.ipynb` from `.md`
"""

from typing import Any

__all__ = ["Lab"]


def __getattr__(name: str) -> Any:
    """`Lab`, imported when it is asked for: a kernel that only registers the magics starts sooner."""
    if name == "Lab":
        from .lab import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workshop.lessons`"""
    from . import magic

    magic.register(shell)
