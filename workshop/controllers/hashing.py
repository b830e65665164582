"""Short names for templates: the same template gives the same ten characters.

Upstream hashes a printout of its Go structs (FNV-1a of a spew dump), which nothing but Go can make again. Ours hashes
the template's canonical JSON. Nobody may compare the two: a revision is found by its template, the hash only names it.
"""

from __future__ import annotations

import json
from typing import Any

# No vowels, no 0 1 3: upstream's alphabet (apimachinery/pkg/util/rand), so that no name becomes a word.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def fnv1a_32(data: bytes) -> int:
    """The hash of Fowler, Noll and Vo in 32 bits, as Go's hash/fnv has it."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def safe_encode(text: str) -> str:
    """Each character becomes one of the alphabet's, as in upstream's SafeEncodeString."""
    return "".join(ALPHABET[ord(c) % len(ALPHABET)] for c in text)


def template_hash(template: Any, collision_count: int | None = None) -> str:
    """At most ten characters. `collision_count` makes another hash of the same template."""
    data = json.dumps(template, sort_keys=True, separators=(",", ":")).encode()
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little")
    return safe_encode(str(fnv1a_32(data)))
