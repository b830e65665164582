"""Where ours answers otherwise than the real server, and why (explained.yaml)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def entries() -> list[dict[str, Any]]:
    """Each has `sheet` and `case`, regular expressions that match from the start, and `why`."""
    return yaml.safe_load((Path(__file__).parent / "explained.yaml").read_text()) or []


def why(sheet: str, case: str) -> str | None:
    """The reason, where there is one."""
    return next((e["why"] for e in entries() if re.match(e["sheet"], sheet) and re.match(e["case"], case)), None)
