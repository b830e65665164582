"""Requests to a Service and to a pod, sent from inside the cluster's network, and who answered them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.parse
from collections import Counter

from workshop.api.meta import Obj
from workshop.cluster import observer
from workshop.cluster.cli import tools
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError

PROGRAM = """
import sys, time, urllib.request
patience = time.monotonic() + 5
for _ in range(int(sys.argv[2])):
    while True:
        try:
            with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
                print(answer.read(200).decode(errors="replace").strip().splitlines()[0])
        except OSError as error:
            if time.monotonic() < patience:
                time.sleep(0.1)
                continue
            print("!", getattr(error, "reason", error))
        patience = 0
        break
"""


def service(cluster: Cluster, name: str, times: int, known: dict[str, str]) -> str:
    """`4 × web-7d9-abcde, 2 × web-7d9-fghij`, or how the requests failed.

    The address is kept in `known`: with it, asking needs no API server.
    """
    if name not in known:
        found = tools.get(cluster, f"/api/v1/namespaces/default/services/{name}")
        known[name] = tools.service_url(cluster.plan(), found, tools.lowest_port())
    return _told(f"{times} requests to {known[name]}", _send(cluster, known[name], times))


def pods(cluster: Cluster, selector: str) -> list[str]:
    found = _labelled(cluster, selector)
    return sorted(one["metadata"]["name"] for one in found if not one["metadata"].get("deletionTimestamp"))


def kill(cluster: Cluster, selector: str, node: str) -> str:
    """Kill a container's process as the kernel would; says whose it was."""
    uids = {one["metadata"]["uid"] for one in _labelled(cluster, selector)}
    for found in observer.containers(cluster.plan(), cluster.layout):
        if found["pod"] in uids and node in ("", found["node"]):
            os.kill(found["pid"], signal.SIGKILL)
            return f"killed process {found['pid']} of pod {found['name']} on {found['node']}: {found['command'][:60]}"
    raise ClusterError(f"no container of a pod with {selector} runs{' on ' + node if node else ''}")


def pod(cluster: Cluster, selector: str) -> str:
    """One request to the first pod with those labels that has an address."""
    found = _labelled(cluster, selector)
    addressed = [one for one in found if (one.get("status") or {}).get("podIP")]
    if not addressed:
        raise ClusterError(f"no pod with {selector} has an address")
    chosen = addressed[0]
    port = chosen["spec"]["containers"][0]["ports"][0]["containerPort"]
    url = f"http://{chosen['status']['podIP']}:{port}/"
    return _told(f"a request to pod {chosen['metadata']['name']} at {url}", _send(cluster, url, 1))


def _send(cluster: Cluster, url: str, times: int) -> list[str]:
    argv = [*tools.inside(cluster, None), sys.executable, "-c", PROGRAM, url, str(times)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.splitlines() or [f"! {done.stderr.strip()[-200:]}"]


def _told(what: str, answers: list[str]) -> str:
    counted = Counter(answers).most_common()
    return f"{what}: " + ", ".join(
        f"{count} × failed ({said.removeprefix('! ')})" if said.startswith("!") else f"{count} × {said}"
        for said, count in counted
    )


def _labelled(cluster: Cluster, selector: str) -> list[Obj]:
    query = urllib.parse.urlencode({"labelSelector": selector})
    found: list[Obj] = tools.get(cluster, f"/api/v1/namespaces/default/pods?{query}")["items"]
    return found
