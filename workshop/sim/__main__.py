"""`python -m workshop.sim`: run seeds, and tell the first that breaks a promise."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from workshop.sim import campaign


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many runs")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="one run alone")
    parser.add_argument("--seconds", type=float, default=campaign.SECONDS, help="virtual seconds of faults")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep-going", action="store_true", help="run all seeds, also after a failure")
    parser.add_argument("--verbose", action="store_true", help="the transcript of --seed, also when all is well")
    options = parser.parse_args(argv)
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    failed, writes = [], 0
    for number, outcome in enumerate(_outcomes(list(seeds), options), 1):
        writes += outcome.writes
        if outcome.problem is not None:
            failed.append(outcome.seed)
            _tell(outcome, options)
            if not options.keep_going:
                break
        elif options.verbose and options.seed is not None:
            _tell(outcome, options)
        if number % 1000 == 0:
            print(f"{number} runs, {len(failed)} failed", flush=True)
    print(f"{len(list(seeds))} seeds, {writes} acknowledged writes: {f'FAILED: {failed}' if failed else 'all is well'}")
    return 1 if failed else 0


def _outcomes(seeds: list[int], options: argparse.Namespace) -> Iterator[campaign.Outcome]:
    work = partial(campaign.run, seconds=options.seconds)
    if options.processes <= 1:
        yield from map(work, seeds)
        return
    with ProcessPoolExecutor(options.processes) as pool:
        yield from pool.map(work, seeds, chunksize=20)


def _tell(outcome: campaign.Outcome, options: argparse.Namespace) -> None:
    told = campaign.run(outcome.seed, record=True, seconds=options.seconds)
    for line in told.transcript:
        print(line)
    print(f"seed {outcome.seed}: {told.problem or 'all is well'}")
    if told.problem != outcome.problem:
        print(f"  and without a transcript: {outcome.problem}. A run must not depend on being told.")
    print(f"again: python -m workshop.sim --seed {outcome.seed} --verbose" + os.linesep, flush=True)


if __name__ == "__main__":
    sys.exit(main())
