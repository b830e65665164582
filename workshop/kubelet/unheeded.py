"""What a pod asks for and does not get on this node: said in an event, never passed over in silence. Pure.

The real kubelet asks its runtime to do all of it; our process runtime can do what the mode allows (`Abilities`).

>>> plain = Abilities("plain", namespaces=False, users=False, processor=False)
>>> of({"spec": {"containers": [{"name": "c", "securityContext": {"runAsUser": 7}}]}}, plain)
['containers[c].securityContext.runAsUser']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.kubelet.pods import Obj


@dataclass(frozen=True)
class Abilities:
    """`namespaces`: containers have files, network and processes of their own. `users`: they may be any user.
    `processor`: there is a control group that limits processor time."""

    mode: str
    namespaces: bool
    users: bool
    processor: bool


IDENTITY = ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")
NEVER = ("seccompProfile", "appArmorProfile", "seLinuxOptions")
OWN_FILES = ("readOnlyRootFilesystem", "capabilities", "privileged", "sysctls")
OWN_NAMES = ("hostAliases", "dnsConfig", "hostname", "hostnameOverride", "setHostnameAsFQDN", "subdomain")
IN_MODE = {
    "plain": "processes run as the user who started the cluster, with the host's files, names and capabilities",
    "userns": "one user namespace holds the cluster, and its only user is root",
    "root": "the process runtime does not know it",
}


def of(pod: Obj, able: Abilities) -> list[str]:
    """Paths below `spec`, of fields that were set and are not heeded."""
    spec = pod["spec"]
    found = [f"securityContext.{name}" for name in _security(spec.get("securityContext") or {}, able)]
    if spec.get("runtimeClassName"):
        found.append("runtimeClassName")
    if spec.get("resourceClaims"):
        found.append("resourceClaims")
    if (spec.get("resources") or {}).get("limits") and not able.processor:
        found.append("resources.limits")  # of the pod as a whole; those of its containers are kept
    for volume in spec.get("volumes") or ():
        medium = (volume.get("emptyDir") or {}).get("medium") or ""
        if medium.startswith("HugePages") or (medium and not able.namespaces):
            found.append(f"volumes[{volume['name']}].emptyDir.medium")
    if not able.namespaces:
        found += [name for name in OWN_NAMES if spec.get(name)]
        if spec.get("shareProcessNamespace") is False:
            found.append("shareProcessNamespace")
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            found += [f"{field}[{container['name']}].{name}" for name in _container(container, able)]
    return found


def _security(context: Mapping[str, Any], able: Abilities) -> Iterator[str]:
    names = NEVER if able.users else (*IDENTITY, *NEVER)
    yield from (name for name in names if context.get(name) not in (None, []))
    if able.users is False and able.namespaces is False:
        yield from (name for name in OWN_FILES if context.get(name))
    if context.get("procMount") == "Unmasked":
        yield "procMount"


def _container(container: Obj, able: Abilities) -> Iterator[str]:
    for name in _security(container.get("securityContext") or {}, able):
        yield f"securityContext.{name}"
    if not able.processor and ((container.get("resources") or {}).get("limits") or {}).get("cpu"):
        yield "resources.limits.cpu"
    if container.get("volumeDevices"):
        yield "volumeDevices"
    for mount in container.get("volumeMounts") or ():
        if mount["name"].startswith("kube-api-access-"):
            continue  # nobody has asked for it
        if mount.get("readOnly") and not able.namespaces:
            yield f"volumeMounts[{mount['name']}].readOnly"
        if mount.get("mountPropagation") not in (None, "None"):
            yield f"volumeMounts[{mount['name']}].mountPropagation"


def message(found: list[str], able: Abilities) -> str:
    """What the event says."""
    named = ", ".join(found)
    why = IN_MODE.get(able.mode, "the process runtime cannot do it")
    return f"Accepted but not enforced in mode {able.mode}: {named} ({why})"
