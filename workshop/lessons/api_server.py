"""Lab 03: kube-apiserver. A request on foot, who may what, admission, conflicts, watches, and a second server.

`race`, `Mirror`, `compact` and `second_server` are what the learner's cells may use; all else is judged here.
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
from .exercise import Exercise, Finding, Scenario, Section, Sight, Swap
from .lab import Lab
from .wire import Wire

SERVER = "kube-apiserver"
MIRROR = "my-mirror"
MAPS = "/api/v1/namespaces/default/configmaps"
ACCOUNT = "system:serviceaccount:default:reader"


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

    if not lab.wait_for(ready, 20):
        raise ClusterError(f"the second server did not become ready:\n{own.said(cluster, 'second')}")
    print(f"a second kube-apiserver answers at {wire.server}")
    return wire


# -- the judges --


def _review(sight: Sight, user: str, verb: str, resource: str, **more: str) -> bool:
    """Whether `user` may, by the API server's own word."""
    resource, _, sub = resource.partition("/")
    attributes = {"verb": verb, "resource": resource, "subresource": sub, "namespace": "default", **more}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": attributes}}  # fmt: skip
    _, answer = sight.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(((answer or {}).get("status") or {}).get("allowed"))


MAY = (("get", "pods"), ("list", "pods"), ("watch", "pods"), ("get", "pods/log"))
MAY_NOT: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("delete", "pods", {}),
    ("create", "pods", {}),
    ("create", "pods/exec", {}),
    ("get", "pods/status", {}),
    ("get", "secrets", {}),
    ("list", "configmaps", {}),
    ("list", "pods", {"namespace": "kube-system"}),
    ("get", "nodes", {"namespace": ""}),
    ("list", "deployments", {"group": "apps"}),
)


def reads_and_no_more(sight: Sight) -> Finding:
    """ServiceAccount reader may look at pods of its namespace and at their logs, and nothing else."""
    missing = [f"{verb} {what}" for verb, what in MAY if not _review(sight, ACCOUNT, verb, what)]
    too_much = [
        f"{verb} {what}" + (f" in {more['namespace']}" if more.get("namespace") else "")
        for verb, what, more in MAY_NOT
        if _review(sight, ACCOUNT, verb, what, **more)
    ]
    looked = f"{len(MAY) + len(MAY_NOT)} SubjectAccessReviews for {ACCOUNT}"
    if missing:
        return Finding(looked, f"it may not {', '.join(missing)}", "pods and pods/log are two resources to RBAC")
    if too_much:
        return Finding(
            looked, f"it may also {', '.join(too_much)}", "name resources and verbs; a Role, not a ClusterRole"
        )
    return Finding(looked)


def admits(sight: Sight) -> Finding:
    """The running server refuses a pod without a memory limit, and takes one with it."""
    rows = [row for row in sight.swapped if row["hook"].endswith("review")]
    looked = "two pods in a dry run, one with a memory limit and one without"
    if not rows:
        return Finding(looked, "your review is not swapped in", f'lab.swap("{SERVER}", review)')
    good, _ = sight.ask("POST", "/api/v1/namespaces/default/pods?dryRun=All", _pod("128Mi"))
    bad, said = sight.ask("POST", "/api/v1/namespaces/default/pods?dryRun=All", _pod(""))
    looked += f"; answers {good} and {bad}"
    if good != 201:
        return Finding(looked, "the pod with a limit is refused as well", 'return "" where all is well')
    if bad != 403:
        return Finding(looked, "the pod without a limit is let through", "look into spec.containers")
    if not (said or {}).get("message", "").strip():
        return Finding(looked, "the refusal does not say why")
    return Finding(looked)


def counts(sight: Sight) -> Finding:
    """ConfigMap counter says as much as it was called."""
    status, found = sight.ask("GET", f"{MAPS}/counter")
    if status != 200:
        return Finding("ConfigMap counter", "there is no ConfigMap counter", "race(lab, increment) makes it")
    data = found.get("data") or {}
    looked = f"ConfigMap counter: {data.get('calls')} calls, count {data.get('count')}"
    if data.get("calls") in (None, "0"):
        return Finding(looked, "the race has not been run to its end", "race(lab, increment)")
    if data.get("count") != data["calls"]:
        return Finding(
            looked, "updates were lost", "write with the resourceVersion that you read; 409 means: read again"
        )
    return Finding(looked)


def mirrors(sight: Sight) -> Finding:
    """ConfigMap mirror names all ConfigMaps with app=web, and its program has lived through a 410."""
    _, listed = sight.ask("GET", f"{MAPS}?labelSelector=app%3Dweb")
    names = " ".join(sorted(item["metadata"]["name"] for item in (listed or {}).get("items") or ()))
    status, found = sight.ask("GET", f"{MAPS}/mirror")
    data = (found or {}).get("data") or {} if status == 200 else {}
    looked = f"ConfigMaps with app=web: {names or 'none'}; the mirror shows: {data.get('names', 'nothing')}"
    looked += f"; answers 410: {data.get('gone', '0')}; your programs: {', '.join(sight.own) or 'none runs'}"
    if MIRROR not in sight.own:
        return Finding(looked, f"{MIRROR} does not run", f'lab.log("{MIRROR}") shows how it ended; then run it again')
    if not names:
        return Finding(looked, "there is nothing to mirror", "create ConfigMaps with the label app=web")
    if data.get("names") != names:
        return Finding(looked, "the mirror is not what there is", "list, then watch from the version of the list")
    if data.get("gone", "0") == "0":
        how = 'compact(lab.cluster) and lab.kill("kube-apiserver") make every old version too old'
        return Finding(looked, "it has not met a 410 yet", how)
    return Finding(looked)


# -- cases for `review` that the learner does not see --


def _pod(limit: str, name: str = "p", more: tuple[str, ...] = ()) -> Obj:
    containers = [_container("c", limit), *(_container(f"c{n}", text) for n, text in enumerate(more))]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": containers}}  # fmt: skip


def _container(name: str, limit: str) -> Obj:
    made: Obj = {"name": name, "image": "nginx"}
    return {**made, "resources": {"limits": {"memory": limit}}} if limit else made


def _case(story: str, refused: bool, operation: str, resource: str, obj: Obj) -> Scenario:
    def judge(result: Any, _: tuple[Any, ...]) -> str:
        if refused and not result:
            return "it is let through"
        return f"it is refused: {result}" if result and not refused else ""

    return Scenario(story, lambda: (operation, resource, obj, "jane"), judge)


REVIEWS = (
    _case("a pod with a limit", False, "CREATE", "pods", _pod("64Mi")),
    _case("a pod without resources", True, "CREATE", "pods", _pod("")),
    _case("two containers, the second without a limit", True, "CREATE", "pods", _pod("64Mi", more=("",))),
    _case("two containers with limits", False, "CREATE", "pods", _pod("64Mi", more=("1Gi",))),
    _case(
        "a limit for the processor alone", True, "CREATE", "pods",
        {**_pod(""), "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}},
    ),
    _case("an empty list of limits", True, "CREATE", "pods",
          {**_pod(""), "spec": {"containers": [{"name": "c", "resources": {}}]}}),
    _case("a pod that is there already is labelled", False, "UPDATE", "pods", _pod("")),
    _case("a pod goes", False, "DELETE", "pods", {}),
    _case("a ConfigMap", False, "CREATE", "configmaps", {"metadata": {"name": "m", "namespace": "default"}}),
    _case("a Deployment: its pods come later", False, "CREATE", "deployments.apps",
          {"metadata": {"name": "d", "namespace": "default"}, "spec": {"template": {"spec": {"containers": []}}}}),
)  # fmt: skip


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
        swap=Swap(SERVER, "review", "workshop.lessons.api_server:REVIEWS"),
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
