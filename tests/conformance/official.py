"""The official Kubernetes conformance suite against our cluster, and the list of what passes.

    KUBE_BINARIES=/usr/local/kube python -m tests.conformance.official --write
    … --focus 'sig-apps.*ReplicaSet' --controllers real --procs 4

KUBE_BINARIES must hold upstream's `e2e.test` (and `ginkgo`, to run several tests at a time; and
`kube-controller-manager` for `--controllers real`). A cluster of its own is brought up and taken down again, unless
CONFORMANCE_KUBECONFIG names another. With `--write` the results go into PASSING.md beside this file: a test's row is
changed only by a run of that test, so the list may be made in several runs. `--read` takes the reports of a run that
was, instead of running.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from tests.conformance.alone import alone

LIST = Path(__file__).with_name("PASSING.md")
COLUMNS = ("ours", "real")
MARKS = {"passed": "yes", "failed": "no", "": ""}


def binaries() -> Path:
    folder = Path(os.environ.get("KUBE_BINARIES", ""))
    if not os.environ.get("KUBE_BINARIES") or not (folder / "e2e.test").exists():
        sys.exit("KUBE_BINARIES names no folder with upstream's e2e.test: there is nothing to run.")
    return folder


@contextmanager
def cluster(controllers: str, runtime: str | None, mode: str | None) -> Iterator[str]:
    """The kubeconfig of a cluster with two nodes; `controllers`: ours, or the real kube-controller-manager."""
    if foreign := os.environ.get("CONFORMANCE_KUBECONFIG"):
        yield foreign
        return
    from workshop.cluster.facade import Cluster

    with tempfile.TemporaryDirectory(prefix="workshop-official-") as home:
        os.environ["WORKSHOP_HOME"] = home
        ours = Cluster("official")
        real: subprocess.Popen[bytes] | None = None
        try:
            ours.up(nodes=2, runtime=runtime, mode=mode)
            if controllers == "real":
                real = _real_controller_manager(ours)
            yield str(ours.kubeconfig())
        finally:
            if real is not None:
                real.terminate()
                real.wait()
            ours.down()


def _real_controller_manager(ours: object) -> subprocess.Popen[bytes]:
    """Upstream's kube-controller-manager in the place of ours, by the same flags."""
    from workshop.cluster.facade import Cluster

    assert isinstance(ours, Cluster)
    ours.stop("kube-controller-manager")
    component = ours.plan().component("kube-controller-manager")
    assert component is not None
    flags = [flag for flag in component.argv[1:] if not flag.startswith("--leader-elect")]
    command = [str(binaries() / "kube-controller-manager"), *flags, "--leader-elect=false",
               "--kube-api-content-type=application/json"]  # fmt: skip
    log = (ours.layout.root / "logs" / "real-controller-manager.log").open("wb")
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def run(kubeconfig: str, focus: str, skip: str, procs: int, report: Path, minutes: int) -> dict[str, str]:
    """Run the conformance tests that fit `focus`; each one's name and `passed` or `failed`."""
    suite, ginkgo = binaries() / "e2e.test", binaries() / "ginkgo"
    chosen = f"({focus}).*\\[Conformance\\]" if focus else r"\[Conformance\]"
    arguments = [
        f"--kubeconfig={kubeconfig}", "--provider=skeleton", "--num-nodes=2",
        "--kube-api-content-type=application/json", f"--report-dir={report}", "--disable-log-dump",
        "--dump-logs-on-failure=false",
    ]  # fmt: skip
    options = [f"--focus={chosen}", f"--timeout={minutes}m", "--no-color", *([f"--skip={skip}"] if skip else [])]
    if procs > 1 and ginkgo.exists():
        command = [str(ginkgo), f"--procs={procs}", *options, str(suite), "--", *arguments]
    else:
        command = [str(suite), *arguments, *(f"--ginkgo.{option[2:]}" for option in options)]
    with (report / "output.txt").open("wb") as output:
        subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, cwd=report)
    return results(report)


def results(report: Path) -> dict[str, str]:
    """What the JUnit files say of the tests that ran."""
    found: dict[str, str] = {}
    for file in report.glob("junit*.xml"):
        for case in ElementTree.parse(file).iter("testcase"):
            name = case.get("name", "").removeprefix("[It] ")
            if "[Conformance]" not in name or case.find("skipped") is not None:
                continue
            failed = case.find("failure") is not None or case.find("error") is not None
            found[_plain(name)] = "failed" if failed else "passed"
    return found


def _plain(name: str) -> str:
    """Without the labels that a report adds to the name."""
    return re.sub(r"\s*\[Conformance\].*", "", name)


def read(text: str) -> dict[str, dict[str, str]]:
    """The rows of PASSING.md: test → column → yes, no or nothing."""
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 2 + len(COLUMNS) and cells[0].startswith("[sig-"):
            rows[cells[0]] = dict(zip(COLUMNS, cells[2:], strict=True))
    return rows


def write(rows: dict[str, dict[str, str]]) -> str:
    """PASSING.md anew."""
    few = {name: row for name, row in rows.items() if alone(name)}

    def passing(column: str) -> str:
        of = [(sum(row[column] == "yes" for row in some.values()), sum(row[column] != "" for row in some.values()))
              for some in (rows, few)]  # fmt: skip
        return f"{of[0][0]} of {of[0][1]} pass; of those that need no container {of[1][0]} of {of[1][1]}"

    lines = [
        "# The official conformance suite of Kubernetes 1.36",
        "",
        "Made by `python -m tests.conformance.official --write`, never by hand. The suite has 446 tests; those that were"
        " run stand here. Some need nothing but an API server and controllers (`alone.py` says which).",
        "",
        f"- with our own controllers: {passing('ours')}",
        f"- with the real kube-controller-manager on our API server: {passing('real')}",
        "",
        "| test | containers | our controllers | the real controller manager |",
        "|---|---|---|---|",
        *(
            f"| {name} | {'' if alone(name) else 'needed'} | {row['ours']} | {row['real']} |"
            for name, row in sorted(rows.items())
        ),
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.official", description=__doc__)
    parser.add_argument("--focus", default="", help="regular expression of test names")
    parser.add_argument("--skip", default="", help="regular expression of tests to leave out")
    parser.add_argument("--controllers", choices=COLUMNS, default="ours")
    parser.add_argument("--runtime", help="the nodes' container runtime")
    parser.add_argument("--mode", help="root, userns or plain")
    parser.add_argument("--procs", type=int, default=4, help="tests at a time")
    parser.add_argument("--minutes", type=int, default=120, help="stop after this long")
    parser.add_argument("--report", help="folder to keep the suite's own output in")
    parser.add_argument("--read", action="store_true", help="run nothing: take what --report holds")
    parser.add_argument("--write", action="store_true", help="put the results into PASSING.md")
    args = parser.parse_args(argv)
    if args.read:
        return conclude(results(Path(args.report)), args.controllers, args.write)
    binaries()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(args.report or folder).resolve()
        report.mkdir(parents=True, exist_ok=True)
        with cluster(args.controllers, args.runtime, args.mode) as kubeconfig:
            found = run(kubeconfig, args.focus, args.skip, args.procs, report, args.minutes)
    return conclude(found, args.controllers, args.write)


def conclude(found: dict[str, str], controllers: str, writing: bool) -> int:
    """Say what passed, put it into PASSING.md, and judge."""
    for name, result in sorted(found.items()):
        print(f"{result:8}{name}")
    print(f"{sum(r == 'passed' for r in found.values())} of {len(found)} passed")
    if writing:
        rows = read(LIST.read_text()) if LIST.exists() else {}
        for name, result in found.items():
            rows.setdefault(name, dict.fromkeys(COLUMNS, ""))[controllers] = MARKS[result]
        LIST.write_text(write(rows))
    return 0 if found and all(result == "passed" for result in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
