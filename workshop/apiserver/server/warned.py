"""Warnings as headers: `Warning: 299 - "this kind is deprecated"`. Pure.

Each text goes once; one with control characters does not go at all, for it could end the header. When all are longer
together than a client may take, each is cut. Upstream: apiserver/pkg/endpoints/filters/warning.go.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

MOST, MOST_WHEN_CUT = 4096, 256
"""Characters of all texts, and of each when that is too much."""


def headers(texts: Iterable[str]) -> list[str]:
    """The values of the headers.

    >>> headers(['unknown field "spec.a"', 'x', 'x', 'a\\r\\nSet-Cookie: b'])
    ['299 - "unknown field \\\\"spec.a\\\\""', '299 - "x"']
    """
    fit = [text for text in dict.fromkeys(texts) if text and not any(unicodedata.category(c) == "Cc" for c in text)]
    if sum(map(len, fit)) > MOST:
        kept, total = [], 0
        for text in fit:
            if total < MOST:
                kept.append(text[:MOST_WHEN_CUT])
                total += len(kept[-1])
        fit = kept
    return [f'299 - "{_escaped(text)}"' for text in fit]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
