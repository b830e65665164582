"""The arguments of the small kubectl, and how its errors read."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, NoReturn

from workshop.api.errors import ApiError
from workshop.client.kubeconfig import KubeconfigError
from workshop.client.rest import Client, Unreachable
from workshop.component import parse_duration

from . import access, describe, get, pods, waiting, write
from .session import Session, UsageError

STOCK = "This is the workshop's small kubectl. The stock one: https://kubernetes.io/docs/tasks/tools/ (1.32 or newer)."
STOCK_ALONE = (
    "api-resources", "api-versions", "attach", "autoscale", "certificate", "cluster-info", "completion", "config",
    "cordon", "cp", "debug", "diff", "drain", "edit", "events", "explain", "kustomize", "options", "patch", "plugin",
    "port-forward", "proxy", "replace", "set", "taint", "top", "uncordon", "version",
)  # fmt: skip
"""Verbs that the stock one has beside those of `_parsers`."""
WITH_VALUE = ("-n", "--namespace", "--request-timeout")
"""Flags that may stand before the verb and take the next word."""


class _Parser(argparse.ArgumentParser):
    """Complains as kubectl does: one line, and exit status 1."""

    def error(self, message: str) -> NoReturn:
        message = message.replace("unrecognized arguments:", "unknown flag:")
        if message.startswith("the following arguments are required: "):
            flags = [name.lstrip("-") for name in message.partition(": ")[2].split(", ")]
            message = "required flag(s) " + ", ".join(f'"{name}"' for name in flags) + " not set"
        sys.stderr.write(f"error: {message}\nSee '{self.prog} --help' for usage.\n")
        raise SystemExit(1)


def verb_at(argv: list[str]) -> int:
    """PURE: where the verb stands, after flags that may come before it; the length of `argv` without one.

    >>> verb_at(["-n", "get", "delete", "pod", "web"])
    2
    """
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] in WITH_VALUE else 1
    return min(place, len(argv))


def main(argv: list[str], kubeconfig: str) -> int:
    """Run one command against the cluster of `kubeconfig`; returns the exit status."""
    command: list[str] = []
    if "--" in argv:
        cut = argv.index("--")
        argv, command = argv[:cut], argv[cut + 1 :]
    parsers = _parsers()
    place = verb_at(argv)
    verb = argv[place] if place < len(argv) else "help"
    if verb == "help":
        sys.stdout.write(f"{STOCK}\n\nVerbs: {' '.join(parsers)}\n")
        return 0
    if verb not in parsers:
        known = verb in STOCK_ALONE
        what = f"the small kubectl has no {verb}" if known else f'unknown command "{verb}" for "kubectl"'
        sys.stderr.write(f"error: {what}. {STOCK}\nIt has: {' '.join(parsers)}\n")
        return 1
    args = parsers[verb].parse_intermixed_args(argv[:place] + argv[place + 1 :])
    args.verb, args.command = verb, command
    try:
        return asyncio.run(asyncio.wait_for(_run(args, kubeconfig), args.request_timeout))
    except TimeoutError:
        sys.stderr.write("Unable to connect to the server: context deadline exceeded\n")
    except ApiError as error:
        sys.stderr.write(f"Error from server ({error.reason}): {error.message}\n")
    except (UsageError, KubeconfigError) as error:
        sys.stderr.write(f"error: {error}\n")
    except Unreachable as error:
        sys.stderr.write(f"The connection to the server was refused - is the cluster up? ({error})\n")
    except BrokenPipeError:
        sys.stderr.close()
    except KeyboardInterrupt:
        return 130
    return 1


def _parsers() -> dict[str, _Parser]:
    """A parser a verb. Flags and words may come in any order, as in the stock one."""
    parsers: dict[str, _Parser] = {}

    def verb(name: str, help: str, *, words: bool = True, files: bool = False) -> _Parser:
        one = _Parser(prog=f"workshop kubectl {name}", description=f"{help}. {STOCK}")
        one.add_argument("-n", "--namespace")
        one.add_argument("-A", "--all-namespaces", action="store_true")
        one.add_argument("--request-timeout", type=parse_duration, default=None)
        if words:
            one.add_argument("words", nargs="*", metavar="TYPE NAME | TYPE/NAME")
        if files:
            one.add_argument("-f", "--filename", action="append", default=[], metavar="FILE")
        parsers[name] = one
        return one

    one = verb("get", "list objects")
    one.add_argument("-o", "--output", default="")
    one.add_argument("-l", "--selector")
    one.add_argument("--field-selector")
    one.add_argument("-w", "--watch", action="store_true")
    one.add_argument("--no-headers", action="store_true")
    one.add_argument("--show-managed-fields", action="store_true")
    one = verb("describe", "show an object and its events")
    one.add_argument("-l", "--selector")
    one = verb("apply", "make objects as the files say (server-side)", words=False, files=True)
    one.add_argument("--server-side", action="store_true", help="always so here")
    one.add_argument("--force-conflicts", action="store_true")
    one.add_argument("--dry-run", choices=["none", "server"], default="none")
    one = verb("create", "create -f FILE, or create deployment|configmap|namespace|serviceaccount NAME", files=True)
    one.add_argument("--image", action="append", default=[])
    one.add_argument("--replicas", type=int, default=1)
    one.add_argument("--port", type=int)
    one.add_argument("--from-literal", action="append", default=[], metavar="KEY=VALUE", help="of a configmap")
    one.add_argument("--dry-run", choices=["none", "server"], default="none")
    one = verb("run", "make a pod: run NAME --image=IMAGE")
    one.add_argument("--image", required=True)
    one.add_argument("--port", type=int)
    one = verb("expose", "make a Service for a deployment: expose deployment NAME --port=PORT")
    one.add_argument("--port", type=int, required=True)
    one.add_argument("--target-port", type=int)
    one.add_argument("--name")
    one = verb("delete", "delete objects and wait until they are gone", files=True)
    one.add_argument("-l", "--selector")
    one.add_argument("--grace-period", type=int)
    one.add_argument("--wait", nargs="?", const="true", default="true", choices=["true", "false"])
    one.add_argument("--ignore-not-found", action="store_true")
    one.add_argument("--timeout", type=parse_duration, default=None)
    one = verb("scale", "set the number of replicas")
    one.add_argument("--replicas", type=int, required=True)
    for name in ("label", "annotate"):
        one = verb(name, f"{name} an object: key=value or key-")
        one.add_argument("--overwrite", action="store_true")
    one = verb("logs", "print a container's log")
    one.add_argument("-f", "--follow", action="store_true")
    one.add_argument("-p", "--previous", action="store_true")
    one.add_argument("-c", "--container")
    one.add_argument("--tail", type=int, default=-1)
    one.add_argument("--timestamps", action="store_true")
    one = verb("exec", "run a command in a container: exec POD -- COMMAND")
    one.add_argument("-c", "--container")
    one.add_argument("-i", "--stdin", action="store_true")
    one.add_argument("-t", "--tty", action="store_true")
    one = verb("wait", "wait for a condition")
    one.add_argument("--for", dest="condition", required=True)
    one.add_argument("--all", action="store_true")
    one.add_argument("--timeout", type=parse_duration, default=30.0)
    one = verb("rollout", "rollout status TYPE/NAME")
    one.add_argument("--timeout", type=parse_duration, default=None)
    one = verb("auth", "auth can-i VERB TYPE[/NAME]")
    one.add_argument("--as", dest="impersonated", default="")
    return parsers


async def _run(args: argparse.Namespace, kubeconfig: str) -> int:
    async with Client.from_kubeconfig(kubeconfig, user_agent="kubectl/workshop") as client:
        namespace = None if args.all_namespaces else args.namespace or client.namespace
        result = await _verb(Session(client, namespace), args)
        return result if isinstance(result, int) else 0


def _verb(s: Session, args: argparse.Namespace) -> Awaitable[Any]:
    words: list[str] = getattr(args, "words", [])
    match args.verb:
        case "get":
            looks = (args.selector, args.field_selector, args.watch, not args.no_headers, args.show_managed_fields)
            return get.get(s, words, args.output, *looks)
        case "describe":
            return describe.describe(s, words, args.selector)
        case "apply":
            return write.apply(s, args.filename, args.force_conflicts, args.dry_run == "server")
        case "create":
            return write.create(s, _to_create(args), args.dry_run == "server")
        case "run":
            return write.create(s, [write.pod(_one(words), args.image, args.port, args.command)], False)
        case "expose":
            return write.expose(s, words, args.name, args.port, args.target_port)
        case "delete":
            deletion = write.delete(
                s, words, args.filename, args.selector, args.grace_period, args.wait == "true", args.ignore_not_found
            )
            return asyncio.wait_for(deletion, args.timeout)
        case "scale":
            return write.scale(s, words, args.replicas)
        case "label" | "annotate":
            pairs = [w for w in words if "=" in w or w.endswith("-")]
            named = [w for w in words if w not in pairs]
            return write.label(s, named, pairs, args.overwrite, "labels" if args.verb == "label" else "annotations")
        case "logs":
            query = {
                "follow": args.follow or None, "previous": args.previous or None,
                "container": args.container or words[1:2] or None,
                "tailLines": args.tail if args.tail >= 0 else None, "timestamps": args.timestamps or None,
            }  # fmt: skip
            return pods.logs(s, _one(words), **query)
        case "exec":
            if not args.command:
                raise UsageError("you must specify at least one command for the container")
            return pods.execute(s, _one(words), args.command, args.container, args.stdin, args.tty)
        case "wait":
            return waiting.wait(s, words, args.condition, args.timeout, args.all)
        case "rollout" if words[:1] == ["status"]:
            return waiting.rollout_status(s, words[1:], args.timeout)
        case "auth" if words[:1] == ["can-i"]:
            return access.can_i(s, words[1:], args.impersonated)
    raise UsageError(f"the small kubectl has no {args.verb} {' '.join(words[:1])}".rstrip() + f". {STOCK}")


def _one(words: list[str]) -> str:
    if not words:
        raise UsageError("expected the name of a pod")
    return words[0]


def _to_create(args: argparse.Namespace) -> list[dict[str, Any]]:
    if args.filename:
        return write.manifests(args.filename)
    match args.words:
        case ["deployment" | "deploy", name]:
            if not args.image:
                raise UsageError('required flag(s) "image" not set')
            return [write.deployment(name, args.image, args.replicas, args.port, args.command)]
        case ["configmap" | "cm", name]:
            pairs = dict(pair.partition("=")[::2] for pair in args.from_literal)
            config: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
            return [{**config, "data": pairs} if pairs else config]
        case ["namespace" | "ns", name]:
            return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}]
        case ["serviceaccount" | "sa", name]:
            return [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}]
    raise UsageError(
        "must specify one of -f FILE, deployment NAME --image=IMAGE, configmap NAME, namespace NAME, "
        f"serviceaccount NAME. {STOCK}"
    )
