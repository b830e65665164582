"""python -m tests.differential --kubeconfig REAL/admin.conf [--only SHEET …] [--show N]

A sheet is `create Pod/base`, `update Service`, `status`, … (see `cases.sheets`); --only takes beginnings or parts."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from . import cases, explained
from .cases import Sheet
from .compare import difference
from .masks import comparable
from .remembered import Remembered
from .servers import Ours, Real, Server
from .stage import ACCOUNT, Stage

PATIENCE = 30
"""Seconds for one answer."""


async def compare(
    sheet: Sheet, real: Server, ours: Server, remembered: Remembered, everything: bool
) -> dict[str, list[str]]:
    """What differs, and in which cases. `"": […]` are all cases; what is explained stands under "explained", or with
    the others if `everything` is wanted."""
    found: dict[str, list[str]] = defaultdict(list)
    made = list(sheet.cases)
    found[""] = [case.name for case in made]
    theirs, mine = Stage(real, sheet), Stage(ours, sheet)
    try:
        if asked := any(case not in remembered for case in made):
            await theirs.build()
            if sheet.in_order:
                remembered.forget()
        await mine.build()
    except ValueError as error:
        found[f"SETUP {error}"] = found[""]
        return found
    for case in made:
        if case not in remembered:
            remembered[case] = await theirs.ask(case)
        try:
            said = await asyncio.wait_for(mine.ask(case), PATIENCE)
        except Exception as error:
            found[f"CRASH {error!r}"].append(case.name)
            continue
        for line in difference(comparable(remembered[case]), comparable(said)):
            known = not everything and explained.why(sheet.name, case.name, line)
            found["explained" if known else line].append(case.name)
    await mine.clear()
    if asked:
        await theirs.clear()
    return found


def tell(found: dict[str, list[str]], most: int, names: str = "") -> None:
    for line, wrong in sorted(found.items(), key=lambda pair: -len(pair[1]))[:most]:
        print(f"  {len(wrong):4} {line[:900].replace('a' * 300, '<300 a>')}\n         e.g. {names}{wrong[0]}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--cache", default="/tmp/differential")
    parser.add_argument("--everything", action="store_true", help="tell what is explained too")
    parser.add_argument("-o", "--output", help="all differences as JSON")
    options = parser.parse_args()
    real, ours = Real(options.kubeconfig), Ours()
    await ours.start()
    for server in (real, ours):
        await server.call(ACCOUNT.method, ACCOUNT.path, ACCOUNT.body, ACCOUNT.content_type)
    totals: Counter[str] = Counter()
    everything: dict[str, Any] = {}
    for sheet in cases.sheets():
        if options.only and not any(each in sheet.name for each in options.only):
            continue
        remembered = Remembered(Path(options.cache), sheet)
        found = await compare(sheet, real, ours, remembered, options.everything)
        remembered.save()
        count, excused = len(found.pop("")), len(set(found.pop("explained", [])))
        wrong = len({case for each in found.values() for case in each})
        door = sheet.name.partition(" ")[0]
        totals.update({f"{door} cases": count, f"{door} differ": wrong, f"{door} explained": excused})
        if found:
            everything[sheet.name] = found
            print(f"## {sheet.name}: {count} cases, {wrong} differ" + (f", {excused} explained" if excused else ""))
            tell(found, options.show)
            sys.stdout.flush()
    print(dict(totals))
    if options.output:
        Path(options.output).write_text(json.dumps(everything, indent=1))
    await ours.stop()


if __name__ == "__main__":
    asyncio.run(main())
