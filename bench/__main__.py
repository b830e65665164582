"""`python -m bench [cold] [rest] [pods] [api] [board] [lab] [room]`, or `etcd`: the figures, and which miss."""

from __future__ import annotations

import argparse
import compileall
import os
import sys

from . import apiserver, board, etcd, figures, lessons
from .clusters import ROOT, Ours, Real
from .figures import Figure, Make

PARTS = ("cold", "rest", "pods", "api", "board", "lab", "room")
OURS_ALONE = ("board", "lab", "room")


def measure(part: str, make: Make, options: argparse.Namespace) -> list[Figure]:
    if part == "cold":
        return figures.cold_start(make, options.runs)
    if part == "rest":
        return figures.at_rest(make, options.settle, options.span)
    if part == "lab":
        return lessons.first_board(max(1, options.runs // 2))
    if part == "room":
        return lessons.room()
    if part == "pods":
        return figures.many_pods(make, max(1, options.runs // 2))
    if part == "board":
        return board.latency(options.watch)
    return apiserver.requests(make, options.pods, options.watchers)


def number(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:,.2f}" if figure.value < 100 else f"{figure.value:,.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="What a cluster costs.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default; or etcd alone"
    )
    parser.add_argument("--runs", type=int, default=5, help="cold starts (half as many Deployments); medians are shown")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds from Ready to the look at memory")
    parser.add_argument("--span", type=float, default=60.0, help="seconds over which idle load is taken")
    parser.add_argument("--pods", type=int, default=1000, help="pods in the API server's figures")
    parser.add_argument("--watchers", type=int, default=100, help="watchers in the API server's figures")
    parser.add_argument("--members", type=int, default=1, help="members in etcd's figures")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each of etcd's figures; medians are shown")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a turn lasts")
    parser.add_argument("--million", action="store_true", help="etcd's figures with very many keys, too")
    parser.add_argument("--keys", type=int, default=1_000_000, help="how many those are")
    parser.add_argument("--watch", type=float, default=20.0, help="seconds over which the board is watched")
    parser.add_argument("--detail", action="store_true", help="every run, and the share of each process")
    options = parser.parse_args()
    if options.parts == ["etcd"]:
        return etcd.main(options)
    if wrong := [part for part in options.parts if part not in PARTS]:
        parser.error(f"there is no part {wrong[0]!r}: choose among {', '.join(PARTS)}")
    compileall.compile_dir(str(ROOT / "workshop"), quiet=2)  # as installed, also under PYTHONDONTWRITEBYTECODE
    real = Real.available()
    if not real:
        print("The real binaries are not measured: KUBE_BINARIES names no folder with kube-apiserver, kubemark, …")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"The machine is not quiet (load {load:.1f}): the figures will be too high.")
    print(f"{'figure':36} {'workshop':>10} {'real':>10} {'unit':12} {'limit':>6} {'aim':>6}")
    missed = 0
    for part in options.parts or PARTS:
        ours = measure(part, Ours, options)
        theirs: dict[str, Figure] = {}
        if real and part not in OURS_ALONE:
            try:
                theirs = {figure.name: figure for figure in measure(part, Real, options)}
            except RuntimeError as error:  # it gave up under this load
                print(f"the real one: {error}", flush=True)
        for figure in ours:
            other = theirs.get(figure.name)
            limits = [f"{value:g}" if value is not None else "" for value in (figure.limit, figure.aim)]
            row = f"{figure.name:36} {number(figure):>10} {number(other):>10} {figure.unit:12}"
            print(f"{row} {limits[0]:>6} {limits[1]:>6} {figure.verdict}", flush=True)
            if options.detail:
                print(f"    workshop: {figure.detail}" + (f"\n    real: {other.detail}" if other else ""), flush=True)
            missed += figure.verdict == "MISSED"
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
