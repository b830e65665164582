"""Defaults of the core group. Upstream: pkg/apis/core/v1/defaults.go."""

from __future__ import annotations

import base64
import re
from typing import Any

from workshop.api import quantity
from workshop.api.defaults.walk import defaults_of, fill, fill_unset

HOUR = 3600
THREE_HOURS = 10800
FILE_MODE = 0o644


def image_tag(image: str) -> str:
    """The tag of an image reference; `latest` when it has neither tag nor digest, empty when it has a digest alone.

    >>> image_tag("nginx"), image_tag("localhost:5000/nginx:1.27"), image_tag("nginx@sha256:" + 64 * "0")
    ('latest', '1.27', '')
    """
    name, at, _ = image.partition("@")
    match = re.search(r":([\w][\w.-]*)$", name)
    if match:
        return match[1]
    return "" if at else "latest"


_HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
REFERENCE = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::[\w][\w.-]{{0,127}})?(?:@{_DIGEST})?")
"""An image's name. Upstream: github.com/distribution/reference."""


def pull_policy(image: str) -> str:
    """What cannot be read as an image is not pulled anew either."""
    return "Always" if REFERENCE.fullmatch(image) and image_tag(image) == "latest" else "IfNotPresent"


@defaults_of("core.v1.Container", "core.v1.EphemeralContainerCommon")
def container(obj: dict[str, Any]) -> None:
    fill(obj, imagePullPolicy=pull_policy(obj.get("image", "")))
    fill(obj, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")


@defaults_of("core.v1.PodSpec")
def pod_spec(obj: dict[str, Any]) -> None:
    fill(obj, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    fill_unset(obj, terminationGracePeriodSeconds=30, securityContext={})
    if account := obj.get("serviceAccountName") or obj.get("serviceAccount"):
        obj |= {"serviceAccountName": account, "serviceAccount": account}


@defaults_of("core.v1.Pod")
def pod(obj: dict[str, Any]) -> None:
    """Only in pods, not in templates: requests from limits, host ports on the host's network."""
    spec = obj.setdefault("spec", {})
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    for each in containers:
        resources = each.setdefault("resources", {})
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **resources.get("requests", {})}
        if spec.get("hostNetwork"):
            for port in each.get("ports", []):
                fill(port, hostPort=port.get("containerPort", 0))
    _pod_level_requests(spec)
    fill_unset(spec, enableServiceLinks=True)


def _pod_level_requests(spec: dict[str, Any]) -> None:
    """Requests of the pod as a whole, where it has limits of its own: the sum of its containers', else the limit."""
    resources = spec.get("resources")
    if not resources or not resources.get("limits"):
        return
    requests = dict(resources.get("requests", {}))
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    for name in ("cpu", "memory"):
        if name not in requests and any(name in _requests(each) for each in containers):
            requests[name] = str(_together(spec, name))
    requests = {**{k: v for k, v in resources["limits"].items() if k in ("cpu", "memory")}, **requests}
    resources["requests"] = requests


def _together(spec: dict[str, Any], name: str) -> quantity.Quantity:
    """What the containers ask for at most at any one time: sidecars beside those that start after them."""
    none = quantity.parse("0")
    total = sidecars = most = none
    for each in spec.get("containers") or []:
        total = total + quantity.parse(_requests(each).get(name, "0"))
    for each in spec.get("initContainers") or []:
        asked = quantity.parse(_requests(each).get(name, "0")) + sidecars
        if each.get("restartPolicy") == "Always":
            sidecars = asked
        most = max(most, asked)
    return max(total + sidecars, most)


def _requests(container: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = container.get("resources", {}).get("requests", {})
    return found


@defaults_of("core.v1.PodStatus")
def pod_status(obj: dict[str, Any]) -> None:
    """One address in two places: the single one counts, where the list says otherwise."""
    one, several = obj.get("podIP"), obj.get("podIPs")
    if one and (not several or several[0].get("ip") != one):
        obj["podIPs"] = [{"ip": one}]
    elif several and several[0].get("ip"):
        obj["podIP"] = several[0]["ip"]


@defaults_of("core.v1.Probe")
def probe(obj: dict[str, Any]) -> None:
    fill(obj, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)


@defaults_of("core.v1.HTTPGetAction")
def http_get(obj: dict[str, Any]) -> None:
    fill(obj, path="/", scheme="HTTP")


@defaults_of("core.v1.ObjectFieldSelector")
def field_selector(obj: dict[str, Any]) -> None:
    fill(obj, apiVersion="v1")


VOLUME_SOURCES_APART = {"name"}


@defaults_of("core.v1.Volume")
def volume(obj: dict[str, Any]) -> None:
    if not obj.keys() - VOLUME_SOURCES_APART:
        obj["emptyDir"] = {}
    if obj.get("image") is not None:
        fill(obj["image"], pullPolicy=pull_policy(obj["image"].get("reference", "")))


@defaults_of(
    "core.v1.SecretVolumeSource",
    "core.v1.ConfigMapVolumeSource",
    "core.v1.DownwardAPIVolumeSource",
    "core.v1.ProjectedVolumeSource",
)
def file_mode(obj: dict[str, Any]) -> None:
    fill_unset(obj, defaultMode=FILE_MODE)


@defaults_of("core.v1.ServiceAccountTokenProjection")
def token_projection(obj: dict[str, Any]) -> None:
    fill_unset(obj, expirationSeconds=HOUR)


@defaults_of("core.v1.HostPathVolumeSource")
def host_path(obj: dict[str, Any]) -> None:
    fill_unset(obj, type="")


@defaults_of("core.v1.ReplicationController")
def replication_controller(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    labels = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if labels:
        fill(spec, selector=dict(labels))
        fill(obj.setdefault("metadata", {}), labels=dict(labels))


@defaults_of("core.v1.Service")
def service(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client_ip.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": THREE_HOURS}}
    for port in spec.get("ports") or []:
        fill(port, protocol="TCP", targetPort=port.get("port", 0))
    kind, external = spec["type"], bool(spec.get("externalIPs"))
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and external):
        fill(spec, externalTrafficPolicy="Cluster")
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        fill_unset(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        fill_unset(spec, allocateLoadBalancerNodePorts=True)
        for ingress in obj.get("status", {}).get("loadBalancer", {}).get("ingress", []):
            if ingress.get("ip"):
                fill_unset(ingress, ipMode="VIP")


@defaults_of("core.v1.EndpointPort")
def endpoint_port(obj: dict[str, Any]) -> None:
    fill(obj, protocol="TCP")


@defaults_of("core.v1.Secret")
def secret(obj: dict[str, Any]) -> None:
    fill(obj, type="Opaque")
    if texts := obj.pop("stringData", None):
        obj["data"] = {**obj.get("data", {}), **{k: base64.b64encode(v.encode()).decode() for k, v in texts.items()}}


@defaults_of("core.v1.PersistentVolume")
def persistent_volume(obj: dict[str, Any]) -> None:
    spec = obj.setdefault("spec", {})
    fill(obj.setdefault("status", {}), phase="Pending")
    fill(spec, persistentVolumeReclaimPolicy="Retain")
    fill_unset(spec, volumeMode="Filesystem")


@defaults_of("core.v1.PersistentVolumeClaim")
def persistent_volume_claim(obj: dict[str, Any]) -> None:
    fill(obj.setdefault("status", {}), phase="Pending")


@defaults_of("core.v1.PersistentVolumeClaimSpec")
def persistent_volume_claim_spec(obj: dict[str, Any]) -> None:
    fill_unset(obj, volumeMode="Filesystem")


@defaults_of("core.v1.Namespace")
def namespace(obj: dict[str, Any]) -> None:
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}


@defaults_of("core.v1.NamespaceStatus")
def namespace_status(obj: dict[str, Any]) -> None:
    fill(obj, phase="Active")


@defaults_of("core.v1.NodeSpec")
def node_spec(obj: dict[str, Any]) -> None:
    if one := obj.get("podCIDR"):
        if (obj.get("podCIDRs") or [""])[0] != one:
            obj["podCIDRs"] = [one]
    elif obj.get("podCIDRs"):
        obj["podCIDR"] = obj["podCIDRs"][0]


@defaults_of("core.v1.NodeStatus")
def node_status(obj: dict[str, Any]) -> None:
    if obj.get("capacity") and obj.get("allocatable") is None:
        obj["allocatable"] = dict(obj["capacity"])


@defaults_of("core.v1.LimitRangeItem")
def limit_range_item(obj: dict[str, Any]) -> None:
    if obj.get("type") != "Container":
        return
    default = {**obj.get("max", {}), **obj.get("default", {})}
    request = {**obj.get("min", {}), **default, **obj.get("defaultRequest", {})}
    obj |= {name: amounts for name, amounts in (("default", default), ("defaultRequest", request)) if amounts}
