"""ServiceAccount: each pod runs as an account of its namespace and finds that account's token in a volume.

A pod without `serviceAccountName` gets `default`. The volume `kube-api-access-xxxxx` projects a token of about an
hour, the cluster's CA certificate and the namespace into each container.

Upstream: `plugin/pkg/admission/serviceaccount/admission.go`.
"""

from __future__ import annotations

from random import Random
from typing import Any

from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.apiserver.admission.plugin import Plugin, forbidden, is_mirror, section
from workshop.apiserver.authentication.serviceaccount import WARN_ONLY_EXPIRATION
from workshop.apiserver.authorization.graph import pod_references
from workshop.apiserver.interfaces import AdmissionRequest

DEFAULT = "default"
VOLUME = "kube-api-access"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
#: Characters of generated names: no vowels, nothing that looks like another.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
#: A namespace's default account is made by a controller, a moment after the namespace.
DEFAULT_ATTEMPTS = 10


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    operations = ("CREATE",)
    resources = ("pods",)

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if is_mirror(pod):
            return
        spec = section(pod, "spec")
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = DEFAULT
        spec["serviceAccount"] = spec["serviceAccountName"]  # the field's old name is served beside it
        account = await self._account(request, spec["serviceAccountName"])
        if automounts(account, spec):
            mount_token(spec, self.context.random)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": s.get("name", "")} for s in account["imagePullSecrets"]]

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if is_mirror(pod):
            refusal = mirror_refusal(pod)
            if refusal:
                raise forbidden(request, refusal)
            return
        name = (pod.get("spec") or {}).get("serviceAccountName")
        if not name:
            pod_name = (pod.get("metadata") or {}).get("name", "")
            raise forbidden(request, f"no service account specified for pod {request.namespace}/{pod_name}")
        account = await self._account(request, name)
        annotations = account["metadata"].get("annotations") or {}
        if annotations.get(ENFORCE_MOUNTABLE, "").lower() in ("1", "t", "true"):
            refusal = unlisted_secret(account, pod["spec"])
            if refusal:
                raise forbidden(request, refusal)

    async def _account(self, request: AdmissionRequest, name: str) -> Obj:
        kind = resource("serviceaccounts")
        account = await self.context.get(kind, name, request.namespace)
        pause = self.context.random.uniform(0.1, 0.2)
        for attempt in range(DEFAULT_ATTEMPTS if name == DEFAULT else 1):
            if account is not None:
                break
            if attempt:
                await self.context.clock.sleep(pause)
            account = await self.context.get_live(kind, name, request.namespace)
        if account is None:
            where = f"{request.namespace}/{name}"
            raise forbidden(request, f'error looking up service account {where}: serviceaccount "{name}" not found')
        return account


def automounts(account: Obj, pod_spec: Obj) -> bool:
    """The pod's word counts, then the account's; by default yes."""
    for said in (pod_spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if said is not None:
            return bool(said)
    return True


def mount_token(spec: Obj, random: Random) -> None:
    """Mount the token volume into each container that has nothing else there."""
    volumes: list[Obj] = spec.get("volumes") or []
    given = next((v["name"] for v in volumes if v.get("name", "").startswith(VOLUME + "-")), None)
    name = given or f"{VOLUME}-{''.join(random.choice(SUFFIX_ALPHABET) for _ in range(5))}"
    needed = False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
                needed = True
    if needed and given is None:
        spec["volumes"] = [*volumes, {"name": name, "projected": token_volume()}]


def token_volume() -> dict[str, Any]:
    """The projected volume of a pod's credentials."""
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": WARN_ONLY_EXPIRATION, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
        "defaultMode": 0o644,
    }


def mirror_refusal(pod: Obj) -> str:
    """Why a mirror pod is refused, "" if it is not: it must not reach for anybody's rights."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        return "a mirror pod may not reference service accounts"
    if any(kind == "secret" for kind, _ in pod_references(pod)):
        return "a mirror pod may not reference secrets"
    sources = (s for v in spec.get("volumes") or () for s in (v.get("projected") or {}).get("sources") or ())
    if any("serviceAccountToken" in source for source in sources):
        return "a mirror pod may not use ServiceAccountToken volume projections"
    return ""


def unlisted_secret(account: Obj, spec: Obj) -> str:
    """The first Secret that the pod uses and its account does not list, as a refusal; "" if there is none."""
    name = account["metadata"]["name"]
    listed = {s.get("name") for s in account.get("secrets") or ()}
    ending = f"is not allowed because service account {name} does not reference that secret"
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret and secret not in listed:
            return f'volume with secret.secretName="{secret}" {ending}'
    for field, label in (("initContainers", "init container"), ("containers", "container")):
        for container in spec.get(field) or ():
            for variable in container.get("env") or ():
                secret = ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
                if secret and secret not in listed:
                    who = f"{label} {container['name']} with envVar {variable['name']}"
                    return f'{who} referencing secret.secretName="{secret}" {ending}'
            for source in container.get("envFrom") or ():
                secret = (source.get("secretRef") or {}).get("name")
                if secret and secret not in listed:
                    return f'{label} {container["name"]} with envFrom referencing secret.secretName="{secret}" {ending}'
    pull = {s.get("name") for s in account.get("imagePullSecrets") or ()}
    for i, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if reference.get("name") not in pull:
            why = f"is not allowed because service account {name} does not reference that imagePullSecret"
            return f'imagePullSecrets[{i}].name="{reference.get("name")}" {why}'
    return ""
