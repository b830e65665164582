"""python -m tests.differential --kubeconfig REAL/admin.conf [--only KIND …] [--updates] [--show N]"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import pickle
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from . import cases
from .cases import Case
from .servers import Answer, Ours, Real, comparable


class Remembered:
    """The real server's answers of earlier runs: it does not change its mind."""

    def __init__(self, real: Real, folder: Path) -> None:
        self._real, self._file = real, folder / "answers.pickle"
        self.known: dict[str, Answer] = pickle.loads(self._file.read_bytes()) if self._file.exists() else {}

    async def ask(self, state: str, case: Case, fill: str) -> Answer:
        key = hashlib.sha256(repr((state, case)).encode()).hexdigest()
        if key not in self.known:
            body = case.body.replace(b"@RV@", fill.encode())
            self.known[key] = await self._real.call(case.method, case.path, body, case.content_type)
        return self.known[key]

    def save(self) -> None:
        self._file.write_bytes(pickle.dumps(self.known))


def difference(real: Any, ours: Any) -> list[str]:
    """What is different, one line each."""
    if real["code"] != ours["code"]:
        return [f"code {real['code']} != {ours['code']}: real {_said(real)} | ours {_said(ours)}"]
    found = []
    if real["warnings"] != ours["warnings"]:
        found.append(f"warnings: real {real['warnings']} | ours {ours['warnings']}")
    if real["body"] != ours["body"]:
        found += list(_walk(real["body"], ours["body"], ""))
    return found


def _said(answer: Any) -> str:
    body = answer["body"]
    if isinstance(body, dict) and body.get("kind") == "Status":
        causes = body.get("details", {}).get("causes")
        if causes and body.get("reason") == "Invalid":
            return str([f"{c.get('field')}: {c.get('message')} ({c.get('reason', '')[10:]})" for c in causes])
        return str(body.get("message"))
    return "accepted" if isinstance(body, dict) else str(body)[:80]


def _walk(real: Any, ours: Any, path: str) -> Any:
    if isinstance(real, dict) and isinstance(ours, dict):
        if path == ".details" and real.get("causes") != ours.get("causes"):
            a = [f"{c.get('field')}: {c.get('message')} ({c.get('reason', '')[10:]})" for c in real.get("causes", [])]
            b = [f"{c.get('field')}: {c.get('message')} ({c.get('reason', '')[10:]})" for c in ours.get("causes", [])]
            for each in a:
                if each not in b:
                    yield f"MISSING {each}"
            for each in b:
                if each not in a:
                    yield f"EXTRA {each}"
            if sorted(a) != sorted(b) and set(a) == set(b):
                yield f"COUNT {[each for each in a if a.count(each) != b.count(each)]}"
            return
        for key in {**real, **ours}:
            if real.get(key) != ours.get(key):
                yield from _walk(real.get(key), ours.get(key), f"{path}.{key}")
    elif isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        for index, (a, b) in enumerate(zip(real, ours, strict=True)):
            if a != b:
                yield from _walk(a, b, f"{path}[{index}]")
    else:
        yield f"{path}: real {json.dumps(real)[:600]} | ours {json.dumps(ours)[:600]}"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--updates", action="store_true")
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--cache", default="/tmp/differential")
    options = parser.parse_args()
    Path(options.cache).mkdir(exist_ok=True)
    real, ours = Remembered(Real(options.kubeconfig), Path(options.cache)), Ours()
    await ours.start()
    account = Case("", "POST", "/api/v1/namespaces/default/serviceaccounts", b'{"metadata": {"name": "default"}}')
    await real._real.call(account.method, account.path, account.body, account.content_type)
    await ours.call(account.method, account.path, account.body, account.content_type)
    totals: Counter[str] = Counter()
    everywhere: dict[str, list[str]] = defaultdict(list)
    for base in cases.bases():
        name = cases.name_of(base)
        if options.only and not any(name.startswith(each) for each in options.only):
            continue
        made = cases.updates(base) if options.updates else cases.creations(base)
        versions = {"real": "", "ours": ""}
        if options.updates:
            setup = cases.setup(base)
            stored = await ours.call(setup.method, setup.path, setup.body, setup.content_type)
            known = await real._real.call("GET", cases.path_of(base, True), b"", "")
            if known.code == 404:
                known = await real._real.call(setup.method, setup.path, setup.body, setup.content_type)
            if stored.code != 201 or known.code not in (200, 201):
                print(f"## {name}: setup {known.code} {stored.code} {str(known.body)[:300]} {str(stored.body)[:300]}")
                continue
            versions = {
                "real": known.body["metadata"]["resourceVersion"],
                "ours": stored.body["metadata"]["resourceVersion"],
            }
        found: dict[str, list[str]] = defaultdict(list)
        count = 0
        for case in made:
            count += 1
            told = await real.ask(f"{name} {'update' if options.updates else False}", case, versions["real"])
            try:
                body = case.body.replace(b"@RV@", versions["ours"].encode())
                said = await ours.call(case.method, case.path, body, case.content_type)
            except Exception as error:
                found[f"CRASH {error!r}"].append(case.name)
                continue
            for line in difference(comparable(told), comparable(said)):
                found[line].append(case.name)
        if options.updates:
            gone = cases.teardown(base)
            await real._real.call(gone.method, gone.path, gone.body, gone.content_type)
            await ours.call(gone.method, gone.path, gone.body, gone.content_type)
        for line, names in found.items():
            everywhere[line].extend(f"{name} {each}" for each in names)
        wrong = len({case for each in found.values() for case in each})
        totals["cases"] += count
        totals["wrong"] += wrong
        print(f"## {name}: {count} cases, {wrong} differ")
        for line, names in sorted(found.items(), key=lambda pair: -len(pair[1]))[: options.show]:
            print(f"  {len(names):4} {line[:700]}\n         e.g. {names[0]}")
        sys.stdout.flush()
    print("## everywhere")
    for line, names in sorted(everywhere.items(), key=lambda pair: -len(pair[1]))[: options.show * 30]:
        print(f"  {len(names):4} {line[:900]}\n         e.g. {names[0]}")
    print(dict(totals))
    real.save()
    await ours.stop()


if __name__ == "__main__":
    asyncio.run(main())
