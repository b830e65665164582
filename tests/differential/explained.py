"""Where ours answers otherwise than the real server, and why (explained.yaml)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def entries() -> list[dict[str, Any]]:
    """Each has `sheet` and `case`, regular expressions that match from the start, `says`, one that is found in the
    difference, and `why`."""
    return yaml.safe_load((Path(__file__).parent / "explained.yaml").read_text()) or []


def why(sheet: str, case: str, line: str | None = None) -> str | None:
    """The reason of a difference, where there is one; without `line`, of any."""
    for each in entries():
        fits = re.match(each["sheet"], sheet) and re.match(each["case"], case)
        if fits and (line is None or re.search(each.get("says", ""), line)):
            return str(each["why"])
    return None
