"""Lab 03's judges, which look at what the API server says now, and the cases for a swapped `review`."""

from __future__ import annotations

from typing import Any

from workshop.api.meta import Obj

from .exercise import Finding, Scenario, Sight

SERVER = "kube-apiserver"
MIRROR = "my-mirror"
MAPS = "/api/v1/namespaces/default/configmaps"
ACCOUNT = "system:serviceaccount:default:reader"


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


# -- cases for `review` --


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
