"""The difference that a refused update tells: a unified diff of both as indented JSON. Upstream prints its internal
types, whose names begin with capitals; here they are those of the API. Upstream: apimachinery/pkg/util/diff."""

from __future__ import annotations

import difflib
import json
from typing import Any


def diff(old: Any, new: Any) -> str:
    before, after = (json.dumps(value, indent=1).splitlines(keepends=True) for value in (old, new))
    hunks = list(difflib.unified_diff(before, after, n=3))[2:]  # without the two lines that name the files
    return "".join(hunks)
