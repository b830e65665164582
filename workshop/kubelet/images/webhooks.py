"""agnhost's `webhook`, which reviews requests to the API server, and `crd-conversion-webhook`, which converts objects.

Each path of the first is a function: the request of an AdmissionReview -> its response. The second has one function:
an object and the wanted version -> the object in it. (test/images/agnhost/{webhook,crd-conversion-webhook}, 1.36.2)
"""
# mypy: ignore-errors

import base64
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import Handler, flags, listen

PODS, CONFIGMAPS = ("", "v1", "pods"), ("", "v1", "configmaps")
CRDS = [("apiextensions.k8s.io", version, "customresourcedefinitions") for version in ("v1", "v1beta1")]


class Refused(Exception):
    """The request is no such as this path is for, or cannot be carried out."""


def expect(request, *resources):
    asked = tuple(request["resource"].get(part, "") for part in ("group", "version", "resource"))
    if asked not in resources:
        raise Refused(f"expect resource to be one of {resources}, got {asked}")


def allow(patch=None):
    if patch is None:
        return {"allowed": True}
    return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}


def deny(**status):
    return {"allowed": False, "status": {"metadata": {}, **status}}


def labels_of(obj):
    return obj["metadata"].get("labels") or {}


def always_allow_delay_5s(request):
    time.sleep(5)
    return {**allow(), "status": {"metadata": {}, "message": "this webhook allows all requests"}}


def always_deny(request):
    return deny(message="this webhook denies all requests")


def add_label(request):
    labels = labels_of(request["object"])
    if not labels:
        return allow([{"op": "add", "path": "/metadata/labels", "value": {"added-label": "yes"}}])
    if labels.get("added-label") == "yes":
        return allow()
    operation = "replace" if "added-label" in labels else "add"
    return allow([{"op": operation, "path": "/metadata/labels/added-label", "value": "yes"}])


def pods(request):
    expect(request, PODS)
    reasons, label = [], labels_of(request["object"]).get("webhook-e2e-test")
    if label == "webhook-disallow":
        reasons.append("the pod contains unwanted label;")
    if label == "wait-forever":
        threading.Event().wait()
    for container in request["object"]["spec"]["containers"]:
        if "webhook-disallow" in container["name"]:
            reasons.append("the pod contains unwanted container name;")
    return deny(message=" ".join(reasons)) if reasons else allow()


def pods_attach(request):
    if request.get("name") != "to-be-attached-pod":
        return allow()
    expect(request, PODS)
    if request.get("subResource") != "attach":
        raise Refused(f"expect subresource to be attach, got {request.get('subResource')}")
    options = request["object"]
    if not options.get("stdin") or options.get("container") != "container1":
        return allow()
    return deny(message="attaching to pod 'to-be-attached-pod' is not allowed")


def mutating_pods(request):
    expect(request, PODS)
    pod, name = request["object"], "webhook-added-init-container"
    there = any(container["name"] == name for container in pod["spec"].get("initContainers") or [])
    if pod["metadata"].get("name") != "webhook-to-be-mutated" or there:
        return allow()
    added = {"image": "webhook-added-image", "name": name, "resources": {}}
    return allow([{"op": "add", "path": "/spec/initContainers", "value": [added]}])


def mutating_pods_sidecar(request):
    image, name = GIVEN.get("sidecar-image"), "webhook-added-sidecar"
    if not image:
        return deny(status="Failure", message="No image specified by the sidecar-image parameter", code=500)
    expect(request, PODS)
    if any(container["name"] == name for container in request["object"]["spec"]["containers"]):
        return allow()
    added = {"image": image, "name": name, "resources": {}}
    return allow([{"op": "add", "path": "/spec/containers/-", "value": added}])


def unwanted_data(request, create, delete):
    """Refuses to write what says it is unwanted, and to delete what says it is not to be deleted."""
    deleting = request["operation"] == "DELETE"
    data = (request["oldObject"] if deleting else request["object"]).get("data") or {}
    mark = data.get("webhook-e2e-test")
    if mark == "webhook-disallow" and request["operation"] in ("CREATE", "UPDATE"):
        return deny(reason=create)
    return deny(reason=delete) if deleting and mark == "webhook-nondeletable" else allow()


def configmaps(request):
    expect(request, CONFIGMAPS)
    return unwanted_data(
        request,
        "the configmap contains unwanted key and value",
        "the configmap cannot be deleted because it contains unwanted key and value",
    )


def custom_resource(request):
    return unwanted_data(
        request,
        "the custom resource contains unwanted data",
        "the custom resource cannot be deleted because it contains unwanted key and value",
    )


def mutating_data(request):
    """Two of these behind each other go two stages: each one sees what the one before it wrote."""
    data, stage = request["object"].get("data") or {}, None
    if data.get("mutation-start") == "yes":
        stage = 1
    if data.get("mutation-stage-1") == "yes":
        stage = 2
    return allow([{"op": "add", "path": f"/data/mutation-stage-{stage}", "value": "yes"}] if stage else None)


def mutating_configmaps(request):
    expect(request, CONFIGMAPS)
    return mutating_data(request)


def crd(request):
    expect(request, *CRDS)
    unwanted = labels_of(request["object"]).get("webhook-e2e-test") == "webhook-disallow"
    return deny(message="the crd contains unwanted label") if unwanted else allow()


REVIEWERS = {
    "/always-allow-delay-5s": always_allow_delay_5s,
    "/always-deny": always_deny,
    "/add-label": add_label,
    "/pods": pods,
    "/pods/attach": pods_attach,
    "/mutating-pods": mutating_pods,
    "/mutating-pods-sidecar": mutating_pods_sidecar,
    "/configmaps": configmaps,
    "/mutating-configmaps": mutating_configmaps,
    "/custom-resource": custom_resource,
    "/mutating-custom-resource": mutating_data,
    "/crd": crd,
}


def convert(obj, wanted):
    """v1 has `hostPort: "a:1"`, v2 has `host: a` and `port: "1"`."""
    v1, v2 = "stable.example.com/v1", "stable.example.com/v2"
    version, converted = obj["apiVersion"], {**obj, "apiVersion": wanted}
    if version == wanted:
        raise Refused(f"conversion from a version to itself should not call the webhook: {wanted}")
    if (version, wanted) == (v1, v2):
        if "hostPort" in converted:
            parts = converted.pop("hostPort").split(":")
            if len(parts) != 2:
                raise Refused(f"invalid hostPort value `{obj['hostPort']}`")
            converted["host"], converted["port"] = parts
    elif (version, wanted) == (v2, v1):
        if "host" in converted or "port" in converted:
            converted["hostPort"] = f"{converted.pop('host', '')}:{converted.pop('port', '')}"
    else:
        raise Refused(f'unexpected conversion version "{wanted if version in (v1, v2) else version}"')
    return converted


def review_admission(path, request):
    try:
        return REVIEWERS[path](request)
    except Refused as problem:
        return deny(message=str(problem))


def review_conversion(path, request):
    try:
        found = [convert(obj, request["desiredAPIVersion"]) for obj in request["objects"]]
    except Refused as problem:
        return {"convertedObjects": None, "result": {"metadata": {}, "status": "Failure", "message": str(problem)}}
    return {"convertedObjects": found, "result": {"metadata": {}, "status": "Success"}}


#: Subcommand -> kind of the reviews, their groups, their paths, what answers.
SERVICES = {
    "webhook": ("AdmissionReview", "admission.k8s.io", REVIEWERS, review_admission),
    "crd-conversion-webhook": ("ConversionReview", "apiextensions.k8s.io", ("/crdconvert",), review_conversion),
}


class Reviews(Handler):
    def do_GET(self):
        self.answer("ok") if self.path == "/readyz" else self.answer("404 page not found\n", 404)

    def do_POST(self):
        kind, group, paths, review = SERVICES[COMMAND]
        path, body = self.path.partition("?")[0], self.body()
        if path not in paths:
            return self.answer("404 page not found\n", 404)
        try:
            asked = json.loads(body)
            request = asked["request"]
        except (ValueError, KeyError, TypeError) as problem:
            return self.answer(f"Request could not be decoded: {problem}\n", 400)
        if asked.get("kind") != kind or asked.get("apiVersion") not in (f"{group}/v1", f"{group}/v1beta1"):
            return self.answer(f"Unsupported group version kind: {asked.get('apiVersion')}, {asked.get('kind')}\n", 400)
        response = {**review(path, request), "uid": request["uid"]}
        answer = {"kind": kind, "apiVersion": asked["apiVersion"], "response": response}
        return self.answer(json.dumps(answer), kind="application/json")


if __name__ == "__main__":
    COMMAND = sys.argv[1]
    GIVEN, _ = flags(sys.argv[2:])
    server = listen(int(GIVEN.get("port", 443)), Reviews, GIVEN["tls-cert-file"], GIVEN["tls-private-key-file"])
    server.serve_forever(poll_interval=3600)
