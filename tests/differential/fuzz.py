"""python -m tests.differential.fuzz [--seconds N] [--seed N]: bodies that are broken at random, to our server in this
process. Whatever is sent, the answer is a Status, and never the one that hides a traceback.

Every form of body is taken: JSON, YAML and protobuf to create, the four kinds of patch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import yaml

from . import cases, requests
from .cases import Case
from .servers import Ours
from .stage import ACCOUNT

HIDDEN = "its log says why"
"""Of the message for what nobody foresaw."""
Breaker = Callable[[Random, bytes], bytes]


def _cut(random: Random, body: bytes) -> bytes:
    start = random.randrange(len(body) + 1)
    return body[:start] + body[start + random.randrange(1, 20) :]


def _flip(random: Random, body: bytes) -> bytes:
    made = bytearray(body)
    for _ in range(random.randrange(1, 4)):
        made[random.randrange(len(made))] = random.choice(b'\x00\xff\x80{}[]",:0-9eE.\\\n\t &*!|>%@`$/ntf')
    return bytes(made)


def _double(random: Random, body: bytes) -> bytes:
    start, size = random.randrange(len(body)), random.randrange(1, 60)
    at = random.randrange(len(body))
    return body[:at] + body[start : start + size] + body[at:]


def _nest(random: Random, body: bytes) -> bytes:
    at, depth = random.randrange(len(body)), random.choice((3, 300, 3000, 12000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"- ", b"")))
    return body[:at] + opening * depth + closing * depth + body[at:]


BREAKERS: tuple[Breaker, ...] = (_cut, _flip, _double, _nest)


def seeds() -> list[Case]:
    """Good requests of every form of body."""
    found = []
    for base in cases.bases():
        path = cases.path_of(base) + cases.DRY
        found.append(Case("json", "POST", path, json.dumps(base).encode()))
        found.append(Case("yaml", "POST", path, yaml.safe_dump(base).encode(), requests.YAML))
    good = requests.PROTOS["a good one"]
    found += [Case("protobuf", "POST", f"{requests.MAPS}{cases.DRY}", good, requests.PROTO)] * 20
    for content_type, patches in requests.PATCHES.items():
        path = f"{requests.MAPS}/stored{cases.DRY}&fieldManager=m"
        found += [
            Case(content_type, "PATCH", path, body, content_type) for body in patches.values() if 2 < len(body) < 999
        ]
    return found


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random, good, ours = Random(options.seed), seeds(), Ours()
    await ours.start()
    for case in (ACCOUNT, cases.setup(requests.BASE)):
        await ours.call(case.method, case.path, case.body, case.content_type)
    codes: Counter[tuple[str, int]] = Counter()
    wrong = 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        case, body = random.choice(good), b""
        body = case.body
        for _ in range(random.randrange(1, 3)):
            body = random.choice(BREAKERS)(random, body or b" ")
        answer = await ours.call(case.method, case.path, body, case.content_type)
        codes[case.name, answer.code] += 1
        if HIDDEN in str(answer.body):
            wrong += 1
            print(f"## {case.name} {case.path}: {body[:300]!r}")
    await ours.stop()
    print(sum(codes.values()), "requests,", wrong, "that nobody foresaw;", dict(sorted(codes.items())))
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
