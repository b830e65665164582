"""kubeconfig, url, shell, kubectl, etcdctl: the cluster as other programs see it."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.cluster.plan import Plan

SHIFT = 10_000
"""Mode plain: what is added to a port that cannot be bound. `workshop.proxy` and the kubelet do the same."""


def kubeconfig(arguments: argparse.Namespace) -> int:
    path = Cluster(arguments.name).kubeconfig()
    print(path.read_text(encoding="utf-8") if arguments.raw else path)
    return 0


def url(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    plan = cluster.plan()
    namespace, _, name = arguments.service.rpartition("/")
    namespace = namespace or arguments.namespace
    if any(not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", part) for part in (namespace, name)):
        raise ClusterError(f"{arguments.service!r} names no Service: say NAME or NAMESPACE/NAME")
    service = get(cluster, f"/api/v1/namespaces/{namespace}/services/{name}")
    print(service_url(plan, service, lowest_port()))
    if plan.mode == "userns":
        sys.stderr.write(f"(inside the cluster's network: `workshop shell --name {plan.name} curl …`)\n")
    return 0


def service_url(plan: Plan, service: dict[str, Any], lowest: int) -> str:
    """PURE: where a Service answers. In mode plain a port below `lowest` is shifted."""
    spec = service["spec"]
    address = spec.get("clusterIP")
    if not spec.get("ports"):
        raise ClusterError(f"Service {service['metadata']['name']!r} has no ports")
    if address in (None, "", "None"):
        raise ClusterError(f"Service {service['metadata']['name']!r} is headless: use its pods' addresses")
    port = spec["ports"][0]
    number = port["port"]
    if plan.mode == "plain" and number < lowest:
        number += SHIFT
    secure = port.get("name") == "https" or port["port"] == 443
    scheme, usual = ("https", 443) if secure else ("http", 80)
    return f"{scheme}://{address}" + ("" if number == usual else f":{number}") + "/"


def lowest_port() -> int:
    if os.geteuid() == 0:
        return 0
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))


def get(cluster: Cluster, path: str) -> dict[str, Any]:
    import http.client
    import json

    from workshop.cluster.ready import Waiter

    cluster.kubeconfig()
    waiter = Waiter(cluster.plan(), cluster.layout, 20.0, lambda: None)
    try:
        with waiter.get(path, "kube-apiserver did not answer") as response:
            body: dict[str, Any] = json.loads(response.read())
    except (OSError, http.client.HTTPException) as error:
        if cluster.state() == "down":
            raise ClusterError(
                f"cluster {cluster.name!r} is down: `workshop up --name {cluster.name}` brings it up"
            ) from error
        raise ClusterError(
            f"kube-apiserver of cluster {cluster.name!r} does not answer ({getattr(error, 'strerror', '') or error}): "
            f"`workshop status --name {cluster.name}` says what runs, `workshop up --name {cluster.name}` heals it"
        ) from error
    if response.status != 200:
        raise ClusterError(body.get("message", f"the API server answered {response.status}"))
    return body


def settings(cluster: Cluster) -> dict[str, str]:
    """The environment with which stock clients find this cluster. Secrets are named by path, never spelled out."""
    plan, pki = cluster.plan(), cluster.layout.pki
    return {
        "KUBECONFIG": str(cluster.layout.admin_conf),
        "WORKSHOP_CLUSTER": cluster.name,
        "ETCDCTL_API": "3",
        "ETCDCTL_ENDPOINTS": ",".join(f"https://{address}:2379" for address in plan.addresses.control_planes),
        "ETCDCTL_CACERT": str(pki / "etcd" / "ca.crt"),
        "ETCDCTL_CERT": str(pki / "etcd" / "healthcheck-client.crt"),
        "ETCDCTL_KEY": str(pki / "etcd" / "healthcheck-client.key"),
    }


def inside(cluster: Cluster, node: str | None, *, needed: bool = True) -> list[str]:
    """Words to put before a command so that it runs in the cluster's network; none where the host is in it."""
    plan = cluster.plan()
    if plan.mode == "plain":
        return []
    words: list[str] = []
    if plan.mode == "userns":
        pid = next((row["pid"] for row in cluster.ps() if row["pid"] and row["program"] in ("holder", "etcd")), None)
        if pid is None:
            raise ClusterError(f"cluster {cluster.name!r} is down: there is no network to enter")
        nsenter = shutil.which("nsenter") or "/usr/bin/nsenter"
        words = [nsenter, f"--target={pid}", "--user", "--net", "--mount", "--preserve-credentials", "--"]
    if node is not None:
        found = next((n for n in plan.nodes if n.name == node), None)
        if found is None or found.namespace is None:
            raise ClusterError(f"cluster {cluster.name!r} has no node {node!r}")
        enter = shutil.which("nsenter") or "/usr/bin/nsenter"
        words += [enter, f"--net=/run/netns/{found.namespace}", "--"]
    return words


def shell(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    environment = {**os.environ, **settings(cluster)}
    given = [word for word in arguments.argv if word != "--"] if arguments.argv[:1] == ["--"] else arguments.argv
    argv = inside(cluster, arguments.node) + (given or [os.environ.get("SHELL", "/bin/sh")])
    if not given:
        plan = cluster.plan()
        print(f"A shell in cluster {plan.name!r}: Services {plan.addresses.services}, pods {plan.addresses.pods}.")
        print("Names of Services do not resolve yet: use their addresses. `exit` leaves.", flush=True)
    return _exec(argv, environment)


def kubectl(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    if arguments.env:
        return _exports(cluster, "KUBECONFIG", "WORKSHOP_CLUSTER")
    cluster.kubeconfig()
    program = find_kubectl()
    environment = {**os.environ, **settings(cluster)}
    if program is not None:
        return _exec([program, *arguments.argv], environment)
    from workshop.cluster.kubectl import main

    sys.stderr.write("(no kubectl 1.32 or newer found: this is the small built-in one; `workshop doctor` says more)\n")
    return main(arguments.argv, cluster.kubeconfig())


def find_kubectl() -> str | None:
    """`$KUBECTL`, `$KUBE_BINARIES/kubectl` or PATH; one older than 1.32 does not count."""
    binaries = os.environ.get("KUBE_BINARIES")
    tries = [os.environ.get("KUBECTL"), f"{binaries}/kubectl" if binaries else None, shutil.which("kubectl")]
    for path in tries:
        if path and os.access(path, os.X_OK) and _recent(path):
            return path
    return None


def _recent(path: str) -> bool:
    result = subprocess.run([path, "version", "--client"], capture_output=True, text=True, check=False)
    found = re.search(r"v(\d+)\.(\d+)", result.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= (1, 32)


def etcdctl(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    if arguments.env:
        return _exports(cluster, *(name for name in settings(cluster) if name.startswith("ETCDCTL_")))
    if arguments.argv[:2] == ["snapshot", "restore"]:  # into a data directory of ours, which the stock one cannot make
        from workshop.etcd import restore

        return restore.main(arguments.argv[2:])
    program = os.environ.get("ETCDCTL") or shutil.which("etcdctl")
    if program is None:
        raise ClusterError("etcdctl is not installed: on Debian, apt install etcd-client")
    return _exec([*inside(cluster, None), program, *arguments.argv], {**os.environ, **settings(cluster)})


def _exports(cluster: Cluster, *names: str) -> int:
    known = settings(cluster)
    for name in names:
        print(f"export {name}={shlex.quote(known[name])}")
    return 0


def _exec(argv: list[str], environment: dict[str, str]) -> int:
    sys.stdout.flush()
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        raise ClusterError(f"cannot run {argv[0]}: {error.strerror}") from error
