"""sample-apiserver: an API server behind an APIService, with the kinds Flunder and Fischer of wardle.example.com.

It trusts the front proxy's certificate for who asks, and asks the cluster's API server whether he may; it never sees
users' credentials. Unlike upstream's it keeps its objects in memory, whatever `--etcd-servers` says.
(staging/src/k8s.io/sample-apiserver, Kubernetes 1.36.2)
"""
# mypy: ignore-errors

import datetime
import json
import os
import queue
import ssl
import sys
import threading
import urllib.parse
import urllib.request
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "usr/lib/agnhost"))
from serving import Handler, flags, listen

GROUP = "wardle.example.com"
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
#: Plural -> kind, namespaced, the versions that serve it.
KINDS = {"flunders": ("Flunder", True, ("v1beta1", "v1alpha1")), "fischers": ("Fischer", False, ("v1alpha1",))}
ACCOUNT = os.environ.get("WORKSHOP_ROOTFS", "") + "/var/run/secrets/kubernetes.io/serviceaccount"


class Failure(Exception):
    def __init__(self, code, reason, message):
        super().__init__(message)
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


def not_found(plural, name):
    return Failure(404, "NotFound", f'{plural}.{GROUP} "{name}" not found')


class Store:
    """Objects by (plural, namespace, name), and who watches them."""

    def __init__(self):
        self.lock, self.revision, self.objects, self.watchers = threading.RLock(), 1, {}, []

    def stamp(self, kind, key, obj):
        with self.lock:
            self.revision += 1
            obj["metadata"]["resourceVersion"] = str(self.revision)
            if kind == "DELETED":
                del self.objects[key]
            else:
                self.objects[key] = obj
            for plural, namespace, inbox in self.watchers:
                if plural == key[0] and namespace in (None, key[1]):
                    inbox.put((kind, obj))
            return obj

    def create(self, plural, namespace, obj):
        meta = obj.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        if not meta.get("name"):
            raise Failure(422, "Invalid", f'{KINDS[plural][0]}.{GROUP} "" is invalid: metadata.name: Required value')
        name, key = meta["name"], (plural, namespace, meta["name"])
        with self.lock:
            if key in self.objects:
                raise Failure(409, "AlreadyExists", f'{plural}.{GROUP} "{name}" already exists')
            self.admit(plural, name)
            now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            meta.update({"uid": str(uuid.uuid4()), "creationTimestamp": now})
            if namespace:
                meta["namespace"] = namespace
            return self.stamp("ADDED", key, filled(plural, obj))

    def admit(self, plural, name):
        """Upstream's plug-in BanFlunder: a Fischer may name flunders that nobody may create."""
        banned = {n for key, f in self.objects.items() if key[0] == "fischers" for n in f.get("disallowedFlunders", [])}
        if plural == "flunders" and name in banned:
            message = "this name may not be used, please change the resource name"
            raise Failure(403, "Forbidden", f'{plural}.{GROUP} "{name}" is forbidden: {message}')

    def get(self, plural, namespace, name):
        with self.lock:
            found = self.objects.get((plural, namespace, name))
        if found is None:
            raise not_found(plural, name)
        return found

    def update(self, plural, namespace, name, change):
        with self.lock:
            old = self.get(plural, namespace, name)
            new = change(old)
            wanted = new["metadata"].get("resourceVersion")
            if wanted not in (None, "", old["metadata"]["resourceVersion"]):
                message = "the object has been modified; please apply your changes to the latest version and try again"
                raise Failure(409, "Conflict", f'Operation cannot be fulfilled on {plural}.{GROUP} "{name}": {message}')
            kept = {key: old["metadata"][key] for key in ("uid", "creationTimestamp", "name")}
            new["metadata"] = {**new["metadata"], **kept, **({"namespace": namespace} if namespace else {})}
            return self.stamp("MODIFIED", (plural, namespace, name), filled(plural, new))

    def delete(self, plural, namespace, name):
        with self.lock:
            obj = self.get(plural, namespace, name)
            return self.stamp("DELETED", (plural, namespace, name), {**obj, "metadata": dict(obj["metadata"])})

    def list(self, plural, namespace, selector):
        with self.lock:
            chosen = [
                obj
                for key, obj in sorted(self.objects.items())
                if key[0] == plural and namespace in (None, key[1]) and matches(selector, obj)
            ]
            return chosen, str(self.revision)

    def watch(self, plural, namespace, since):
        """What there is already (for a watch from nowhere), and an inbox for what comes."""
        inbox = queue.Queue()
        with self.lock:
            if not since or since == "0":
                for obj in self.list(plural, namespace, "")[0]:
                    inbox.put(("ADDED", obj))
            self.watchers.append((plural, namespace, inbox))
        return inbox

    def unwatch(self, inbox):
        with self.lock:
            self.watchers = [watcher for watcher in self.watchers if watcher[2] is not inbox]


def matches(selector, obj):
    """Only `key=value` and `key`, joined by commas."""
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, equals, value = term.replace("==", "=").partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def filled(plural, obj):
    """With its defaults. Raises Failure for what may not be."""
    if plural == "fischers":
        return obj
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    if spec.get("reference") and not spec.get("referenceType"):
        spec["referenceType"] = "Flunder"
    kind, name = spec.get("referenceType"), obj["metadata"]["name"]
    if kind and kind not in ("Flunder", "Fischer"):
        problem = f'spec.referenceType: Invalid value: "{kind}": must be Flunder or Fischer'
        raise Failure(422, "Invalid", f'Flunder.{GROUP} "{name}" is invalid: {problem}')
    if kind and not spec.get("reference"):
        field = f"{kind.lower()}Reference"
        problem = f'spec.{field}: Invalid value: "": cannot be empty if referenceType is {kind}'
        raise Failure(422, "Invalid", f'Flunder.{GROUP} "{name}" is invalid: {problem}')
    return obj


def merged(old, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merged(new.get(key), value)
    return new


def cluster(path, body=None):
    """Asks the cluster's API server, as the pod's service account."""
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    with open(f"{ACCOUNT}/token") as token:
        headers = {"Authorization": f"Bearer {token.read()}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server + path, data, headers)
    context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return json.load(answer)


def groups():
    versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in ("v1beta1", "v1alpha1")]
    return {"name": GROUP, "versions": versions, "preferredVersion": versions[0]}


def resources(version):
    return [
        {"name": plural, "singularName": plural[:-1], "namespaced": spaced, "kind": kind, "verbs": VERBS}
        for plural, (kind, spaced, versions) in sorted(KINDS.items())
        if version in versions
    ]


class Api(Handler):
    def do_GET(self):
        try:
            self.serve()
        except Failure as failure:
            self.json(failure.status, failure.status["code"])

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def json(self, value, status=200):
        self.answer(json.dumps(value), status, "application/json")

    def serve(self):
        url, body = urllib.parse.urlsplit(self.path), self.body()
        parts, query = url.path.strip("/").split("/"), dict(urllib.parse.parse_qsl(url.query))
        if parts[0] in ("healthz", "livez", "readyz"):
            return self.answer("ok")
        self.known()
        if parts == ["apis"]:
            return self.json({"kind": "APIGroupList", "apiVersion": "v1", "groups": [groups()]})
        if parts[:2] != ["apis", GROUP]:
            raise Failure(404, "NotFound", "the server could not find the requested resource")
        if len(parts) == 2:
            return self.json({"kind": "APIGroup", "apiVersion": "v1", **groups()})
        version, rest = parts[2], parts[3:]
        if not resources(version):
            raise Failure(404, "NotFound", "the server could not find the requested resource")
        if not rest:
            head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{version}"}
            return self.json({**head, "resources": resources(version)})
        namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else None
        plural, name, more = [*(rest[2:] if namespace else rest), "", ""][:3]
        if version not in KINDS.get(plural, ("", 0, ()))[2] or more:
            raise Failure(404, "NotFound", "the server could not find the requested resource")
        if not KINDS[plural][1]:
            namespace = ""
        return self.verb(version, plural, namespace, name, query, body)

    def known(self):
        """Who asks is what the front proxy says, if it is the front proxy that says so."""
        certificate = self.connection.getpeercert() or {}
        subject = dict(pair for entry in certificate.get("subject", ()) for pair in entry)
        names = PROXY.get("names") or []
        if not certificate or (names and subject.get("commonName") not in names):
            raise Failure(401, "Unauthorized", "Unauthorized")
        self.user = {
            "user": self.headers.get("X-Remote-User", ""),
            "groups": self.headers.get_all("X-Remote-Group") or [],
        }

    def may(self, verb, plural, namespace, name):
        """Asks the cluster's API server. Raises Failure when he may not."""
        attributes = {"verb": verb, "group": GROUP, "resource": plural, "namespace": namespace or "", "name": name}
        review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        review["spec"] = {**self.user, "resourceAttributes": attributes}
        if not cluster("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"].get("allowed"):
            who = f'User "{self.user["user"]}" cannot {verb} resource "{plural}" in API group "{GROUP}"'
            raise Failure(403, "Forbidden", f'{plural}.{GROUP} "{name}" is forbidden: {who}')

    def verb(self, version, plural, namespace, name, query, body):
        watching = query.get("watch") in ("true", "1")
        reading = "get" if name else "watch" if watching else "list"
        verbs = {"GET": reading, "POST": "create", "PUT": "update", "PATCH": "patch"}
        verb = verbs.get(self.command, "delete" if name else "deletecollection")
        self.may(verb, plural, namespace, name)
        as_version = lambda obj: {"kind": KINDS[plural][0], "apiVersion": f"{GROUP}/{version}", **obj}  # noqa: E731
        if verb == "watch":
            return self.watch(plural, namespace, query, as_version)
        if verb == "get":
            return self.json(as_version(STORE.get(plural, namespace, name)))
        if verb == "create":
            return self.json(as_version(STORE.create(plural, namespace, self.read(plural, body))), 201)
        if verb == "update":
            new = self.read(plural, body)
            return self.json(as_version(STORE.update(plural, namespace, name, lambda _: new)))
        if verb == "patch":
            kind = self.headers.get("Content-Type", "").partition(";")[0]
            if kind != "application/merge-patch+json":
                raise Failure(415, "UnsupportedMediaType", f"{kind} is not a kind of patch that is taken here")
            patch = json.loads(body)
            return self.json(as_version(STORE.update(plural, namespace, name, lambda old: merged(old, patch))))
        if verb == "delete":
            return self.json(as_version(STORE.delete(plural, namespace, name)))
        chosen, revision = STORE.list(plural, namespace, query.get("labelSelector", ""))
        if verb == "deletecollection":
            for obj in chosen:
                STORE.delete(plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        head = {"kind": f"{KINDS[plural][0]}List", "apiVersion": f"{GROUP}/{version}"}
        return self.json({**head, "metadata": {"resourceVersion": revision}, "items": [as_version(o) for o in chosen]})

    def read(self, plural, body):
        try:
            obj = json.loads(body)
        except ValueError as problem:
            raise Failure(400, "BadRequest", f"the object provided is unrecognized: {problem}") from problem
        if not isinstance(obj, dict) or obj.get("kind") not in (None, KINDS[plural][0]):
            raise Failure(400, "BadRequest", f"the object provided is no {KINDS[plural][0]}")
        return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}

    def watch(self, plural, namespace, query, as_version):
        """One JSON document a line, until the time is over or the client has gone."""
        inbox = STORE.watch(plural, namespace, query.get("resourceVersion"))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                kind, obj = inbox.get(timeout=float(query.get("timeoutSeconds", 1800)))
                if matches(query.get("labelSelector", ""), obj):
                    self.wfile.write(json.dumps({"type": kind, "object": as_version(obj)}).encode() + b"\n")
                    self.wfile.flush()
        except (queue.Empty, OSError):
            return
        finally:
            STORE.unwatch(inbox)


STORE, PROXY = Store(), {}

if __name__ == "__main__":
    given, _ = flags(sys.argv[1:])
    trust = cluster("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")["data"]
    PROXY["names"] = json.loads(trust.get("requestheader-allowed-names", "[]"))
    port = int(given.get("secure-port", 443))
    server = listen(port, Api, given["tls-cert-file"], given["tls-private-key-file"])
    server.context.load_verify_locations(cadata=trust["requestheader-client-ca-file"])
    server.context.verify_mode = ssl.CERT_OPTIONAL
    print(f"Serving securely on [::]:{server.server_port}", flush=True)
    server.serve_forever(poll_interval=3600)
