"""What the real server answered before."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

from .cases import Case, Sheet
from .servers import Answer


class Remembered:
    """The real server's answers of earlier runs, a file a sheet: in the same state it does not change its mind."""

    def __init__(self, folder: Path, sheet: Sheet) -> None:
        folder.mkdir(exist_ok=True)
        self._file = folder / f"{hashlib.sha256(repr((sheet.name, sheet.before)).encode()).hexdigest()}.pickle"
        self._known: dict[Case, Answer] = pickle.loads(self._file.read_bytes()) if self._file.exists() else {}
        self._new = False

    def __contains__(self, case: Case) -> bool:
        return case in self._known

    def __getitem__(self, case: Case) -> Answer:
        return self._known[case]

    def __setitem__(self, case: Case, answer: Answer) -> None:
        self._known[case], self._new = answer, True

    def forget(self) -> None:
        self._known, self._new = {}, True

    def save(self) -> None:
        if self._new:
            self._file.write_bytes(pickle.dumps(self._known))
