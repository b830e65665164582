"""Lab 03: kube-apiserver. A request on foot, who may what, admission, conflicts, watches, and a second server.

`race`, `Mirror`, `compact` and `second_server` are what the learner's cells may use; the judges are in
`api_server_judges.py`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from workshop.api.meta import Obj
from workshop.cluster.cli import tools
from workshop.cluster.dial import dial
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError
from workshop.views.store import Refused, Store

from . import own
from .api_server_judges import MAPS, SERVER, admits, counts, mirrors, reads_and_no_more
from .exercise import Exercise, Section, Swap
from .lab import Lab
from .wire import Wire

# -- what the learner's cells stand on --


def race(lab: Lab, increment: Callable[[Any], None], writers: int = 8, times: int = 5) -> str:
    """`writers` threads call `increment(core)` `times` times each on ConfigMap `counter`, which begins at 0."""
    import kubernetes

    core = kubernetes.client.CoreV1Api(lab.cluster.client())
    body = {"metadata": {"name": "counter"}, "data": {"count": "0", "calls": "0"}}
    try:
        core.delete_namespaced_config_map("counter", "default")
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
    core.create_namespaced_config_map("default", body)
    refused = [0]

    def write() -> None:
        own = kubernetes.client.CoreV1Api(lab.cluster.client())
        for _ in range(times):
            try:
                increment(own)
            except kubernetes.client.ApiException:
                refused[0] += 1

    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = {"data": {"calls": str(writers * times)}}
    after = core.patch_namespaced_config_map("counter", "default", calls)
    told = f"{writers * times} calls, {refused[0]} of them refused; the counter says {after.data['count']}"
    print(told)
    return told


class Mirror:
    """A copy of the ConfigMaps of `default` with the label app=web, shown to everybody in ConfigMap `mirror`.

    `names` may be assigned anew (after a list) or changed by `apply` (an event); `gone` counts answers 410.
    """

    def __init__(self, http: Wire) -> None:
        self._http = http
        self.names: set[str] = set()
        self.gone = 0
        http.send("DELETE", f"{MAPS}/mirror")

    def replace(self, items: list[Obj]) -> None:
        """What a list says."""
        self.names = {item["metadata"]["name"] for item in items}
        self._show()

    def apply(self, event: dict[str, Any]) -> None:
        """What one event of a watch says. ERROR with 410 is only counted: what to do then is yours to decide."""
        obj = event["object"]
        if event["type"] == "ERROR":
            self.gone += obj.get("code") == 410
        elif event["type"] == "DELETED":
            self.names.discard(obj["metadata"]["name"])
        elif event["type"] in ("ADDED", "MODIFIED"):
            self.names.add(obj["metadata"]["name"])
        self._show()

    def _show(self) -> None:
        body = {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mirror"},
            "data": {"names": " ".join(sorted(self.names)), "gone": str(self.gone)},
        }  # fmt: skip
        path = f"{MAPS}/mirror?fieldManager=mirror&force=true"
        try:
            self._http.send("PATCH", path, body, content_type="application/apply-patch+yaml")
        except OSError as error:
            print(f"the mirror could not be shown: {error}", flush=True)


def compact(cluster: Cluster) -> int:
    """Let etcd forget all revisions before the newest one; that revision. Raises ClusterError."""
    store = Store(cluster)
    try:
        for _ in range(2):  # whoever has seen everything so far is then too old as well
            revision = store.put("workshop/forget", "")
        store.compact(revision)
    except Refused as error:
        raise ClusterError(f"etcd cannot be asked from here: {error}") from error
    finally:
        store.close()
    print(f"etcd has forgotten everything before revision {revision}")
    return revision


def second_server(lab: Lab, port: int = 7443) -> Wire:
    """Start another kube-apiserver on the same etcd, and give HTTP to it. `lab.stop("second")` ends it.

    Raises ClusterError."""
    cluster = lab.cluster
    component = cluster.plan().component(SERVER)
    if component is None:
        raise ClusterError("this cluster has no kube-apiserver")
    flags = [flag for flag in component.argv[1:] if not flag.startswith("--secure-port")]
    argv = [*tools.inside(cluster, None), sys.executable, "-m", "workshop.apiserver", *flags,
            f"--secure-port={port}", "--hostname-override=second"]  # fmt: skip
    own.launch(cluster, "second", argv)
    away = partial(dial, cluster) if cluster.plan().mode == "userns" else None
    wire = Wire(cluster.layout.root, f"https://{cluster.plan().addresses.control_plane}:{port}", away)

    def ready() -> bool:
        try:
            return wire.send("GET", "/readyz").status == 200
        except OSError:
            return False

    if not lab.wait_for(ready, 60):
        raise ClusterError(f"the second server did not become ready:\n{own.said(cluster, 'second')}")
    print(f"a second kube-apiserver answers at {wire.server}")
    return wire


SOLUTION_ROLE = """%%kubectl apply -f -
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [pods/log], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]"""

SOLUTION_REVIEW = """def review(operation, resource, obj, user):
    if operation != "CREATE" or resource != "pods":
        return ""
    for container in obj["spec"]["containers"]:
        if "memory" not in container.get("resources", {}).get("limits", {}):
            return f"container {container['name']} has no memory limit"
    return ""

lab.swap("kube-apiserver", review)"""

SOLUTION_INCREMENT = """from kubernetes.client import ApiException

def increment(core):
    while True:
        counter = core.read_namespaced_config_map("counter", "default")
        counter.data["count"] = str(int(counter.data["count"]) + 1)
        try:
            core.replace_namespaced_config_map("counter", "default", counter)
            return
        except ApiException as error:
            if error.status != 409:
                raise

race(lab, increment)"""

SOLUTION_MIRROR = """def mirror(http):
    import time
    from workshop.lessons.api_server import Mirror
    path, shown, version = "/api/v1/namespaces/default/configmaps?labelSelector=app%3Dweb", Mirror(http), ""
    while True:
        try:
            if not version:
                items, version = http.list(path)
                shown.replace(items)
            for event in http.watch(path, version):
                shown.apply(event)
                version = event["object"]["metadata"].get("resourceVersion", "") if event["type"] != "ERROR" else ""
        except OSError:
            time.sleep(0.2)"""
RUN_MIRROR = """

lab.run("my-mirror", mirror)
lab.wait_for(lambda: lab.http.send("GET", f"{maps}/mirror").status == 200)"""

EXERCISES = (
    Exercise(
        name="enough and no more",
        task=(
            "ServiceAccount reader needs to get, list and watch pods of default and to get their logs. Write a Role "
            "and a RoleBinding that let just this through, and apply them."
        ),
        judge=reads_and_no_more,
        where='a rule has apiGroups ("" is the core), resources and verbs; a subresource is resource/subresource',
        half="two rules: pods with get, list, watch; pods/log with get. The subject is {kind: ServiceAccount, …}",
        solution=SOLUTION_ROLE,
        mistake=SOLUTION_ROLE.replace("verbs: [get, list, watch]", 'verbs: ["*"]'),
        explanation="RBAC only adds: nobody may anything until a rule says so, and no rule takes away from another.",
        builds_on="who are you, may you",
    ),
    Exercise(
        name="no pod without a limit",
        task=(
            "Write review(operation, resource, obj, user) for the running server: refuse to create a pod of which any "
            "container has no memory limit, and say which; let everything else pass. Put it in with lab.swap."
        ),
        judge=admits,
        where='obj is the pod as it would be stored; resource is "pods"; return a sentence to refuse, "" to let pass',
        half='for each of obj["spec"]["containers"]: container["resources"]["limits"]["memory"], if all of it is there',
        solution=SOLUTION_REVIEW,
        explanation=(
            "Admission sees the object after defaulting and can say no to what is valid. Upstream gives you the same "
            "place without a restart: ValidatingAdmissionPolicy (CEL) and webhooks."
        ),
        builds_on="admission",
        swap=Swap(SERVER, "review", "workshop.lessons.api_server_judges:REVIEWS"),
    ),
    Exercise(
        name="no lost update",
        task="Write increment(core) so that no call is lost, however many write. race(lab, increment) tries it.",
        judge=counts,
        where="an update that carries the resourceVersion it read is refused with 409 when somebody was faster",
        half="while True: read, add one, replace; on ApiException with status 409 go round again, else return",
        solution=SOLUTION_INCREMENT,
        explanation=(
            "Nobody holds a lock. Whoever was slower is told so and decides again on what is there now: optimistic "
            "concurrency, an etcd transaction `If mod_revision == … Then put`."
        ),
        builds_on="two writers",
    ),
    Exercise(
        name="a mirror that survives",
        task=(
            "Write mirror(http): list the ConfigMaps with app=web, then watch from the list's version, and keep Mirror "
            "up to date. It must live through a restart of kube-apiserver and through 410 Gone. Run it as my-mirror."
        ),
        judge=mirrors,
        where="events carry their own resourceVersion: watch on from the last one; ERROR 410 means that it is too old",
        half='version = "" means: list first. After a 410 set it to ""; after an OSError wait a moment and go on',
        solution=SOLUTION_MIRROR + RUN_MIRROR,
        explanation=(
            "List, watch, list again when the history is gone: this is the whole of an informer's Reflector, and why a "
            "controller may sleep through anything."
        ),
        builds_on="list and watch by hand",
    ),
)

NOTHING = ("deployment/web", "pods -l app=web")
SECTIONS = (
    Section("a request on foot", "Through which links does a request pass?", absent=NOTHING),
    Section("who are you, may you", "Who is let through, and by which rule?", absent=NOTHING),
    Section("admission", "Who may say no to what is allowed and valid?", absent=NOTHING),
    Section("two writers", "What keeps one writer from overwriting another?", absent=NOTHING),
    Section("list and watch by hand", "How does everybody know what is new?", absent=NOTHING),
    Section("whose field is it", "How do two owners share one object?", absent=NOTHING),
    Section("a second server", "What is lost when an API server dies?", absent=NOTHING),
)


def open_lab() -> Lab:
    """The lab, with its cluster up."""
    lab = Lab("kube-apiserver", EXERCISES, SECTIONS, nodes=1)
    lab.up()
    return lab
