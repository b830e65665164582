"""The `workshop` command line: argument parsing here, one file a family of subcommands, imported when it is used.

- `clusters`    up, down, reset, status, doctor
- `processes`   ps, logs, stop, start, kill
- `tools`       kubeconfig, url, shell, kubectl, etcdctl
- `watch`       the live view in the terminal; `board`, the same as a web page, is `workshop.views.cli`
- `output`      tables as kubectl prints them
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from workshop.cluster.layout import DEFAULT_NAME, ClusterError, explain
from workshop.cluster.plan import MODES, PROGRAMS, RUNTIMES

PASSED_ON = ("kubectl", "etcdctl")
"""Subcommands whose arguments belong to another program."""


def parser() -> argparse.ArgumentParser:
    """All subcommands; each names the module and function that does it."""
    top = argparse.ArgumentParser(prog="workshop", description="A Kubernetes cluster of readable Python processes.")
    subs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, where: str, help: str, *, listing: bool = False) -> argparse.ArgumentParser:
        sub = subs.add_parser(name, help=help, description=help)
        sub.add_argument("--name", default=os.environ.get("WORKSHOP_CLUSTER", DEFAULT_NAME), help="which cluster")
        if listing:
            sub.add_argument("-o", "--output", choices=["table", "json"], default="table", help="how to print")
        sub.set_defaults(where=where)
        return sub

    for name, help in (
        ("up", "bring a cluster up, or heal it"),
        ("reset", "throw its state away and bring it up anew"),
    ):
        up = command(name, f"clusters:{name}", help)
        up.add_argument("--nodes", type=int, help="how many nodes (default 2)")
        up.add_argument("--masters", type=int, help="how many masters (default 1), each with an etcd member")
        up.add_argument(
            "--only", type=_programs, default=(), help="some components only, with commas: etcd,kube-apiserver"
        )
        up.add_argument("--runtime", choices=RUNTIMES, help="what runs containers (default process)")
        up.add_argument("--max-pods", type=int, help="pods a node takes (default 110)")
        up.add_argument("--mode", choices=MODES, help="which network; without it the best that the system allows")
        up.add_argument(
            "--lab",
            action="store_true",
            default=None,
            help="for a lab: functions may be swapped, an hour of history is kept",
        )
        up.add_argument(
            "--wait", type=_seconds, default=60.0, metavar="SECONDS", help="how long to wait for Ready; 0: not"
        )
    down = command("down", "clusters:down", "stop a cluster and leave nothing running")
    down.add_argument("--purge", action="store_true", help="remove its data too")
    command("status", "clusters:status", "what runs where, in which mode and why", listing=True)
    command("list", "clusters:list_", "the clusters there are", listing=True)
    command("doctor", "clusters:doctor", "what this machine allows, and what is missing", listing=True)

    command("ps", "processes:ps", "the processes of a cluster", listing=True)
    logs = command("logs", "processes:logs", "what a process logged")
    logs.add_argument("process")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    logs.add_argument("--tail", type=int, default=-1, metavar="LINES", help="only the last lines")
    for name, help in (
        ("stop", "end a process; it stays down until `start`"),
        ("start", "start a process that was stopped"),
        ("kill", "kill -9 a process; the supervisor starts it again"),
        ("pause", "stop a process by SIGSTOP: it is there and answers nobody"),
        ("resume", "let a paused process go on"),
    ):
        command(name, f"processes:{name}", help).add_argument("process", help="a process, a program or a node")

    kubeconfig = command("kubeconfig", "tools:kubeconfig", "path of the administrator's kubeconfig")
    kubeconfig.add_argument("--raw", action="store_true", help="print the file, not its path")
    url = command("url", "tools:url", "a URL under which a Service answers from this machine")
    url.add_argument("service", help="NAME or NAMESPACE/NAME")
    url.add_argument("-n", "--namespace", default="default")
    shell = command("shell", "tools:shell", "a shell inside the cluster's network, with its settings")
    shell.add_argument("--node", help="inside this node's network namespace")
    shell.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND", help="run this in place of a shell")
    watch = command("watch", "watch:watch", "desired, reported and observed side by side, live")
    watch.add_argument("--once", action="store_true", help="print one picture and end")
    watch.add_argument("-n", "--namespace", help="only this namespace")
    board = command("board", "workshop.views.cli:board", "the live board as a web page on this machine")
    board.add_argument("--port", type=int, default=0, help="which port (default: a free one)")
    board.add_argument("--kubeconfig", metavar="FILE", help="of any other cluster, in place of one of the workshop's")
    lab = command("lab", "workshop.lessons.cli:lab", "the labs in a folder of yours, opened in JupyterLab")
    lab.add_argument("directory", nargs="?", default="labs", help="where to (default ./labs); what is there stays")
    lab.add_argument("--copy", action="store_true", help="only copy them")
    instructor = command(
        "instructor", "workshop.lessons.cli:instructor", "a board of who is where in a room of learners"
    )
    instructor.add_argument(
        "--address", default="127.0.0.1:8900", help="HOST:PORT to listen on (default 127.0.0.1:8900)"
    )
    instructor.add_argument("--token", help="opens the board (default: a new one is made and printed)")
    instructor.add_argument("--learners-token", help="what learners join with (default: a new one is made and printed)")
    instructor.add_argument("--prefix", default="", help="path under which a hub serves it")
    join = command("join", "workshop.lessons.cli:join", "tell an instructor's board how your labs go")
    join.add_argument("url", help="its address, such as http://10.0.0.5:8900")
    join.add_argument("--token", help="the room's token")
    join.add_argument("--learner", help="your name on the board (default: yours on this machine)")
    command("leave", "workshop.lessons.cli:leave", "tell no instructor's board any more")
    for name in PASSED_ON:
        command(name, f"tools:{name}", f"the stock {name} with this cluster's settings (--env: print them as exports)")
    return top


def _programs(text: str) -> tuple[str, ...]:
    programs = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [part for part in programs if part not in PROGRAMS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no component {unknown[0]!r}: choose among {', '.join(PROGRAMS)}")
    return programs


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait: 0 or more seconds")
    return seconds


def _name_last(argv: Sequence[str]) -> list[str]:
    """`--name lab` may also stand before the subcommand.

    >>> _name_last(["--name", "lab", "ps"]), _name_last(["--name=lab", "kubectl", "get", "pods"])
    (['ps', '--name', 'lab'], ['kubectl', '--name=lab', 'get', 'pods'])
    """
    length = 2 if argv[:1] == ["--name"] else 1 if argv and argv[0].startswith("--name=") else 0
    if not length or len(argv) <= length:
        return list(argv)
    return [argv[length], *argv[:length], *argv[length + 1 :]]


def _pass_on(argv: Sequence[str]) -> argparse.Namespace | None:
    """`workshop kubectl --name lab get pods`: our own flags come first, all else is kubectl's."""
    if not argv or argv[0] not in PASSED_ON:
        return None
    name, rest, env = os.environ.get("WORKSHOP_CLUSTER", DEFAULT_NAME), list(argv[1:]), False
    while rest:
        if rest[0] == "--name" and len(rest) > 1:
            name, rest = rest[1], rest[2:]
        elif rest[0].startswith("--name="):
            name, rest = rest[0].partition("=")[2], rest[1:]
        elif rest[0] == "--env":
            env, rest = True, rest[1:]
        else:
            break
    return argparse.Namespace(command=argv[0], where=f"tools:{argv[0]}", name=name, argv=rest, env=env)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status. A ClusterError is one sentence on stderr and status 1."""
    argv = _name_last(sys.argv[1:] if argv is None else list(argv))
    arguments = _pass_on(argv) or parser().parse_args(argv)
    module, function = arguments.where.split(":")
    try:
        # what belongs to an upper floor is named in full, and known here by its name alone
        place = module if module.startswith("workshop.") else f"workshop.cluster.cli.{module}"
        run = getattr(importlib.import_module(place), function)
        status = int(run(arguments) or 0)
        sys.stdout.flush()  # here, where it is known what to do about a pipe that nobody reads
        return status
    except ClusterError as error:
        sys.stderr.write(f"workshop: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        sys.stderr.write(f"workshop: {explain(error, Path(os.fsdecode(error.filename)))}\n")
        return 1
