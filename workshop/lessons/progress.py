"""Progress: one JSON file a learner, replaced as a whole with each step, so a crash leaves the old or the new."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from workshop.clock import SYSTEM
from workshop.cluster.layout import home


class Progress:
    """What a learner has predicted and solved. Answers are kept only as far as a check reports them."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "progress.json"
        self.notice = ""

    def labs(self) -> dict[str, dict[str, Any]]:
        """By lab, then by step. A file that cannot be read is put aside, and `notice` says so."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or not all(
                isinstance(lab, dict) and all(isinstance(step, dict) for step in lab.values()) for lab in found.values()
            ):
                raise ValueError("it does not hold steps by lab")
        except FileNotFoundError:
            return {}
        except ValueError as error:
            aside = self.path.with_suffix(f".broken-{int(SYSTEM.now())}")
            os.replace(self.path, aside)
            self.notice = f"the progress file could not be read ({error}); it is kept as {aside}, a new one begins"
            return {}
        return found

    def record(self, lab: str, step: str, **what: Any) -> None:
        labs = self.labs()
        labs.setdefault(lab, {}).setdefault(step, {}).update(what)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.path.with_suffix(f".new-{os.getpid()}")
        with new.open("w", encoding="utf-8") as file:
            json.dump(labs, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
