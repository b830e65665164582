"""Objects, patches, selectors, discovery and errors, through a stock kubectl."""

from __future__ import annotations

import json
import re
import tempfile
import urllib.request

import pytest

from .kubectl import Kubectl, eventually, told

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  labels: {app: web}
data:
  color: blue
  size: large
"""


def test_what_a_new_cluster_holds(k: Kubectl) -> None:
    namespaces = k("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").split()
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= set(namespaces)
    assert k("get", "service", "kubernetes", "-n", "default", "--no-headers").split()[:2] == ["kubernetes", "ClusterIP"]
    assert k("get", "clusterrole", "cluster-admin", "admin", "edit", "view", "-o", "name").count("\n") == 4
    priorities = k("get", "priorityclass", "-o", "name")
    assert "system-cluster-critical" in priorities and "system-node-critical" in priorities
    told(lambda: k("get", "configmap", "-o", "name"), "kube-root-ca.crt")
    told(lambda: k("get", "serviceaccount", "-o", "name"), "serviceaccount/default")
    assert "catch-all" in k("get", "flowschemas", "-o", "name")
    assert "kubernetes" in k("get", "servicecidr", "-o", "name")
    k("get", "configmap", "extension-apiserver-authentication", "-n", "kube-system")
    told(lambda: k("get", "lease", "-n", "kube-system", "-o", "name"), "kube-scheduler", "kube-controller-manager")


def test_get_all_everywhere(k: Kubectl) -> None:
    assert "service/kubernetes" in k("get", "all", "-A")


def test_apply_twice_then_change(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    path = manifest(CONFIG)
    assert k("apply", "-f", path) == "configmap/settings created\n"
    assert k("apply", "-f", path) == "configmap/settings unchanged\n"
    changed = manifest(CONFIG.replace("blue", "red").replace("  size: large\n", ""))
    assert k("apply", "-f", changed) == "configmap/settings configured\n"
    assert json.loads(k("get", "configmap", "settings", "-o", "jsonpath={.data}")) == {"color": "red"}


def test_diff_shows_what_apply_would_change(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest(CONFIG))
    assert k.run("diff", "-f", manifest(CONFIG)).code == 0
    result = k.run("diff", "-f", manifest(CONFIG.replace("blue", "red")))
    assert result.code == 1 and "-  color: blue" in result.out and "+  color: red" in result.out


def test_server_side_apply_and_its_conflict(k: Kubectl, manifest) -> None:  # type: ignore[no-untyped-def]
    path = manifest(CONFIG)
    assert k("apply", "--server-side", "--field-manager=one", "-f", path) == "configmap/settings serverside-applied\n"
    red = manifest(CONFIG.replace("blue", "red"), "red.yaml")
    error = k.fails("apply", "--server-side", "--field-manager=two", "-f", red)
    assert 'Apply failed with 1 conflict: conflict with "one": .data.color' in error
    k("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", red)
    fields = json.loads(k("get", "configmap", "settings", "-o", "json", "--show-managed-fields"))["metadata"][
        "managedFields"
    ]
    owners = {f["manager"]: f["fieldsV1"]["f:data"] for f in fields}
    assert "f:color" in owners["two"] and "f:color" not in owners["one"]


def test_labels_and_annotations(k: Kubectl) -> None:
    k("create", "configmap", "a", "--from-literal=x=1")
    assert k("label", "configmap", "a", "color=blue") == "configmap/a labeled\n"
    assert "already has a value" in k.fails("label", "configmap", "a", "color=red")
    assert k("label", "configmap", "a", "color=red", "--overwrite") == "configmap/a labeled\n"
    assert k("get", "configmap", "-l", "color in (red,green)", "-o", "name") == "configmap/a\n"
    assert k("get", "configmap", "-l", "color!=red,color", "-o", "name") == ""
    assert k("label", "configmap", "a", "color-") == "configmap/a unlabeled\n"
    assert k("annotate", "configmap", "a", "note=hello world") == "configmap/a annotated\n"
    assert k("get", "configmap", "a", "-o", "jsonpath={.metadata.annotations.note}") == "hello world"


@pytest.mark.any_mode
@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", '{"data":{"color":"red","size":null}}'),
        ("strategic", '{"data":{"color":"red","size":null}}'),
        ("json", '[{"op":"replace","path":"/data/color","value":"red"},{"op":"remove","path":"/data/size"}]'),
    ],
)
def test_every_patch_type(k: Kubectl, manifest, kind: str, patch: str) -> None:  # type: ignore[no-untyped-def]
    k("apply", "-f", manifest(CONFIG))
    assert k("patch", "configmap", "settings", f"--type={kind}", "-p", patch) == "configmap/settings patched\n"
    assert json.loads(k("get", "configmap", "settings", "-o", "jsonpath={.data}")) == {"color": "red"}
    assert "(no change)" in k("patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"color":"red"}}')


def test_strategic_merge_merges_containers_by_name(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "redis"}]}}}}
    k("patch", "deployment", "web", "-p", json.dumps(patch))
    names = k("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[*].name}").split()
    assert sorted(names) == ["nginx", "side"]


def test_edit_replaces_what_the_editor_saved(k: Kubectl) -> None:
    k("create", "configmap", "a", "--from-literal=x=before")
    result = k.run("edit", "configmap", "a", env={"KUBE_EDITOR": "sed -i s/before/after/"})
    assert result.out == "configmap/a edited\n", result.err
    assert k("get", "configmap", "a", "-o", "jsonpath={.data.x}") == "after"


def test_replace_with_a_stale_version_conflicts(k: Kubectl) -> None:
    k("create", "configmap", "a", "--from-literal=x=1")
    old = json.loads(k("get", "configmap", "a", "-o", "json"))
    k("patch", "configmap", "a", "-p", '{"data":{"x":"2"}}')
    old["data"]["x"] = "3"
    error = k.fails("replace", "-f", "-", stdin=json.dumps(old))
    assert "Error from server (Conflict)" in error
    assert 'Operation cannot be fulfilled on configmaps "a": the object has been modified' in error


def test_watch_sees_each_change(k: Kubectl) -> None:
    k("create", "configmap", "first")
    watcher = k.popen(
        "get", "configmaps", "-l", "!none", "--watch", "--output-watch-events", "--no-headers", "--request-timeout=60s"
    )
    assert watcher.stdout is not None
    try:
        for line in watcher.stdout:  # the list has been read once what was there before is told
            if line.split()[1] == "first":
                break
        k("create", "configmap", "second", "--from-literal=x=1")
        k("patch", "configmap", "second", "-p", '{"data":{"x":"2"}}')
        k("delete", "configmap", "second")
        seen = []
        for line in watcher.stdout:
            kind, name = line.split()[:2]
            if name == "second":
                seen.append(kind)
            if kind == "DELETED":
                break
        assert seen == ["ADDED", "MODIFIED", "DELETED"]
    finally:
        watcher.kill()
        watcher.communicate()


def test_wait_for_deletion(k: Kubectl) -> None:
    k("create", "configmap", "a", "--from-literal=x=1")
    waiting = k.popen("wait", "--for=delete", "configmap/a", "--timeout=60s")
    k("delete", "configmap", "a")
    out, err = waiting.communicate(timeout=90)
    assert waiting.returncode == 0, err
    assert out in ("configmap/a condition met\n", "")


def test_api_resources_and_versions(k: Kubectl) -> None:
    names = k("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"} <= set(names)
    wide = k("api-resources", "--api-group=apps", "--no-headers", "-o", "wide")
    assert re.search(
        r"^deployments\s+deploy\s+apps/v1\s+true\s+Deployment\s+create,delete,deletecollection,get,list,patch,update,watch\s+all",
        wide,
        re.M,
    )
    versions = k("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"} <= set(versions)


def test_explain(k: Kubectl) -> None:
    text = k("explain", "deployment.spec.replicas")
    assert "GROUP:      apps" in text and "FIELD: replicas <integer>" in text
    assert "containers\t<[]Container> -required-" in k("explain", "pod.spec")


def test_version_and_cluster_info(k: Kubectl) -> None:
    version = json.loads(k("version", "-o", "json"))["serverVersion"]
    assert (version["major"], version["minor"]) == ("1", "36")
    assert "is running at" in k("cluster-info")


def test_can_i(k: Kubectl) -> None:
    assert k("auth", "can-i", "create", "pods") == "yes\n"
    user = f"--as=system:serviceaccount:{k.namespace}:default"
    result = k.run("auth", "can-i", "create", "pods", user)
    assert (result.out, result.code) == ("no\n", 1)
    k("create", "role", "maker", "--verb=create", "--resource=pods")
    k("create", "rolebinding", "maker", "--role=maker", f"--serviceaccount={k.namespace}:default")
    eventually(lambda: k.run("auth", "can-i", "create", "pods", user).out == "yes\n")
    assert re.search(r"^pods\s+\[\]\s+\[\]\s+\[create\]", k("auth", "can-i", "--list", user), re.M)
    assert "Username" in k("auth", "whoami")


@pytest.mark.any_mode
def test_forbidden_in_upstreams_words(k: Kubectl) -> None:
    user = f"system:serviceaccount:{k.namespace}:default"
    error = k.fails("get", "pods", f"--as={user}")
    assert (
        f'Error from server (Forbidden): pods is forbidden: User "{user}" cannot list resource "pods" in API group "" '
        f'in the namespace "{k.namespace}"'
    ) in error


@pytest.mark.any_mode
def test_a_token_of_a_service_account_works_until_the_account_is_gone(k: Kubectl) -> None:
    k("create", "serviceaccount", "robot")
    token = k("create", "token", "robot").strip()
    assert token.count(".") == 2
    raw = json.loads(k("config", "view", "--raw", "-o", "json"))
    cluster = raw["clusters"][0]["cluster"]
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        json.dump(kubeconfig, file)
        file.flush()
        robot = Kubectl(k.program, file.name, k.namespace)
        assert f"system:serviceaccount:{k.namespace}:robot" in robot("auth", "whoami")
        k("delete", "serviceaccount", "robot")
        # The real server keeps a verdict on a token for ten seconds.
        eventually(lambda: "error: You must be logged in to the server" in robot.run("get", "pods").err)


@pytest.mark.any_mode
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: UPPER}\n",
         'The ConfigMap "UPPER" is invalid: metadata.name: Invalid value: "UPPER": a lowercase RFC 1123 subdomain must consist of'),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n",
         'The Pod "a" is invalid: spec.containers: Required value'),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: nginx, colour: red}]}\n",
         'strict decoding error: unknown field "spec.containers[0].colour"'),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: many, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}\n",
         "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: nginx}]}}}\n",
         "`selector` does not match template `labels`"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 70000}]}\n",
         "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive"),
        ("apiVersion: v1\nkind: Nonsense\nmetadata: {name: a}\n", 'no matches for kind "Nonsense" in version "v1"'),
    ],
)  # fmt: skip
def test_bad_objects(k: Kubectl, text: str, wanted: str) -> None:
    assert wanted in k.fails("create", "-f", "-", stdin=text)


@pytest.mark.any_mode
def test_immutable_fields(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx", "--replicas=0")
    error = k.fails("patch", "deployment", "web", "-p", '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}')
    assert "field is immutable" in error or "`selector` does not match template `labels`" in error
    k("run", "one", "--image=nginx")
    error = k.fails("patch", "pod", "one", "-p", '{"spec":{"restartPolicy":"Never"}}')
    assert 'The Pod "one" is invalid: spec: Forbidden: pod updates may not change fields other than' in error
    k("create", "configmap", "a", "--from-literal=x=1")
    k("patch", "configmap", "a", "-p", '{"immutable":true}')
    assert "field is immutable when `immutable` is set" in k.fails(
        "patch", "configmap", "a", "-p", '{"data":{"x":"2"}}'
    )


@pytest.mark.any_mode
def test_dry_run_stores_nothing(k: Kubectl) -> None:
    assert (
        k("create", "configmap", "a", "--from-literal=x=1", "--dry-run=server")
        == "configmap/a created (server dry run)\n"
    )
    assert "NotFound" in k.fails("get", "configmap", "a")


@pytest.mark.any_mode
def test_the_same_name_twice(k: Kubectl) -> None:
    k("create", "configmap", "a", "--from-literal=x=1")
    assert k.fails("create", "configmap", "a") == 'error: failed to create configmap: configmaps "a" already exists\n'
    again = k.fails("create", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    assert again == 'Error from server (AlreadyExists): error when creating "STDIN": configmaps "a" already exists\n'


def test_a_namespace_takes_everything_with_it(kubectl_program: str, kubeconfig: str) -> None:
    k = Kubectl(kubectl_program, kubeconfig)
    k("create", "namespace", "short-lived")
    k("create", "deployment", "web", "--image=nginx", "-n", "short-lived")
    k("create", "configmap", "a", "--from-literal=x=1", "-n", "short-lived")
    # a process that is about to start has no handler for SIGTERM yet, and as process 1 never gets it: 30 s of grace
    k("rollout", "status", "deployment/web", "--timeout=60s", "-n", "short-lived")
    k("delete", "namespace", "short-lived", "--timeout=60s")
    assert "NotFound" in k.fails("get", "namespace", "short-lived")
    assert 'namespaces "short-lived" not found' in k.fails("create", "configmap", "b", "-n", "short-lived")


@pytest.mark.any_mode
def test_chunks(k: Kubectl) -> None:
    for name in "abcde":
        k("create", "configmap", name)
    page = json.loads(k("get", "--raw", f"/api/v1/namespaces/{k.namespace}/configmaps?limit=2"))
    assert len(page["items"]) == 2 and page["metadata"]["continue"]
    assert page["metadata"]["remainingItemCount"] in (4, 5)  # an estimate, by its documentation
    chunked = ("get", "configmaps", "--chunk-size=2", "-o", "jsonpath={.items[*].metadata.name}")
    names = told(lambda: k(*chunked), "kube-root-ca.crt").split()
    assert names[:6] == ["a", "b", "c", "d", "e", "kube-root-ca.crt"]


@pytest.mark.any_mode
def test_secrets_are_encoded_and_typed(k: Kubectl) -> None:
    k("create", "secret", "generic", "s", "--from-literal=password=hunter2")
    secret = json.loads(k("get", "secret", "s", "-o", "json"))
    assert (secret["type"], secret["data"]) == ("Opaque", {"password": "aHVudGVyMg=="})


@pytest.mark.any_mode
def test_field_selectors(k: Kubectl) -> None:
    k("run", "one", "--image=nginx")
    assert k("get", "pods", "--field-selector=metadata.name=one", "-o", "name") == "pod/one\n"
    assert k("get", "pods", "--field-selector=metadata.name!=one", "-o", "name") == ""
    error = k.fails("get", "pods", "--field-selector=spec.colour=red")
    assert "field label not supported: spec.colour" in error


def test_autoscale_and_other_protobuf_bodies(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=nginx", "--replicas=0")
    assert "autoscaled" in k("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu-percent=80")
    spec = json.loads(k("get", "hpa", "web", "-o", "json"))["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 3)
    k("create", "ingress", "i", "--rule=example.com/*=web:80")
    k("create", "clusterrolebinding", f"b-{k.namespace}", "--clusterrole=view", "--user=nobody")
    k("delete", "clusterrolebinding", f"b-{k.namespace}")


@pytest.mark.any_mode
def test_impossible_verbs_are_refused(k: Kubectl) -> None:
    error = k.fails("delete", "namespace", "kube-system")
    assert 'namespaces "kube-system" is forbidden: this namespace may not be deleted' in error
    k("create", "configmap", "a")
    error = k.fails("scale", "configmap/a", "--replicas=1")
    assert "could not find the requested resource" in error or "NotFound" in error or "cannot scale" in error


def test_proxy_serves_the_api(k: Kubectl) -> None:
    proxy = k.popen("proxy", "--port=0")
    try:
        assert proxy.stdout is not None
        address = re.search(r"127\.0\.0\.1:\d+", proxy.stdout.readline())
        assert address
        with urllib.request.urlopen(f"http://{address[0]}/version") as answer:
            assert json.load(answer)["minor"] == "36"
    finally:
        proxy.kill()
        proxy.communicate()
