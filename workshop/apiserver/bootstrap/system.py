"""What a new cluster holds that depends on its flags: namespaces, the Service `kubernetes`, certificates, ranges. Pure.

Upstream: `pkg/controlplane/controller` (systemnamespaces, kubernetesservice, defaultservicecidr, legacytokentracking,
clusterauthenticationtrust).
"""

from __future__ import annotations

import ipaddress
import json
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource

SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclass(frozen=True)
class Config:
    """What bootstrapping takes from the server's flags. Certificates are PEM text, "" if the flag was not given."""

    advertise_address: str
    secure_port: int
    service_ranges: Sequence[str]
    client_ca: str = ""
    request_header_client_ca: str = ""
    request_header_allowed_names: Sequence[str] = ()
    request_header_username_headers: Sequence[str] = ()
    request_header_uid_headers: Sequence[str] = ()
    request_header_group_headers: Sequence[str] = ()
    request_header_extra_prefixes: Sequence[str] = ()
    hostname: str = "localhost"
    reconcile_endpoints: bool = True
    """False: `default/kubernetes` is somebody else's (--endpoint-reconciler-type=none)."""


def objects(config: Config, now: str) -> list[tuple[Resource, Obj]]:
    """The objects to be created where they are missing. `now` is an RFC 3339 time."""
    found = [(resource("namespaces"), namespace(name)) for name in SYSTEM_NAMESPACES]
    found.append((resource("servicecidrs.networking.k8s.io"), service_cidr(config.service_ranges, now)))
    found.append((resource("services"), kubernetes_service(config)))
    found.append((resource("ipaddresses.networking.k8s.io"), ip_address(service_ip(config), "default", "kubernetes")))
    found.append((resource("configmaps"), authentication_config_map(config)))
    found.append((resource("configmaps"), token_tracking_config_map(now)))
    return found


def namespace(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def service_ip(config: Config) -> str:
    """The first address of the first range: that of `default/kubernetes`."""
    return str(ipaddress.ip_network(config.service_ranges[0])[1])


def kubernetes_service(config: Config) -> Obj:
    """The Service by which pods reach this server."""
    address = service_ip(config)
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.secure_port}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": [f"IPv{ipaddress.ip_address(address).version}"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [port],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }


def service_cidr(ranges: Sequence[str], now: str) -> Obj:
    """The ServiceCIDR `kubernetes`: the ranges of `--service-cluster-ip-range`. `now` is in RFC 3339."""
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": list(ranges)},
        "status": {"conditions": [ready]},
    }


def ip_address(address: str, namespace: str, service: str) -> Obj:
    """The object that says which Service holds a ClusterIP."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address,
            "labels": {
                "ipaddress.kubernetes.io/ip-family": f"IPv{ipaddress.ip_address(address).version}",
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": service}},
    }


def authentication_config_map(config: Config) -> Obj:
    """By which extension servers (and the controller manager) learn whose certificates to believe."""
    data = {"client-ca-file": config.client_ca} if config.client_ca else {}
    if config.request_header_client_ca:
        data |= {
            "requestheader-client-ca-file": config.request_header_client_ca,
            "requestheader-allowed-names": _list(config.request_header_allowed_names),
            "requestheader-username-headers": _list(config.request_header_username_headers),
            "requestheader-group-headers": _list(config.request_header_group_headers),
            "requestheader-extra-headers-prefix": _list(config.request_header_extra_prefixes),
        }
        if config.request_header_uid_headers:
            data["requestheader-uid-headers"] = _list(config.request_header_uid_headers)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": data,
    }


def token_tracking_config_map(now: str) -> Obj:
    """Since when the use of legacy tokens is recorded."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system"},
        "data": {"since": now[:10]},
    }


def server_id(hostname: str) -> str:
    """The server's name among its like, the same after a restart on the same host."""
    parts = [part.encode() for part in (hostname, "kube-apiserver")]
    digest = sha256(b"".join(len(part).to_bytes(2, "big") + part for part in parts)).digest()[:16]
    return "apiserver-" + b32encode(digest).decode().rstrip("=").lower()


IDENTITY = "apiserver.kubernetes.io/identity"


def is_identity(lease: Obj) -> bool:
    return bool((lease["metadata"].get("labels") or {}).get(IDENTITY) == "kube-apiserver")


def identity_lease(config: Config, holder: str, now: str) -> Obj:
    """`holder` is this process (the id with a random suffix), `now` an RFC 3339 time with micro-seconds."""
    peer = f"[{config.advertise_address}]" if ":" in config.advertise_address else config.advertise_address
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": server_id(config.hostname),
            "namespace": "kube-system",
            "labels": {
                IDENTITY: "kube-apiserver",
                "kubernetes.io/hostname": config.hostname,
            },
            "annotations": {"kubernetes.io/peer-advertise-address": f"{peer}:{config.secure_port}"},
        },
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 3600, "renewTime": now},
    }


def endpoints(addresses: Sequence[str], port: int) -> Obj:
    """Endpoints `default/kubernetes` of the servers at `addresses`."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    subsets = [{"addresses": [{"ip": a} for a in addresses], "ports": ports}] if addresses else []
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        **({"subsets": subsets} if subsets else {}),
    }


def endpoint_slice(addresses: Sequence[str], port: int) -> Obj:
    """The EndpointSlice that says the same."""
    version = ipaddress.ip_address(addresses[0]).version if addresses else 4
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "generation": 1,
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": f"IPv{version}",
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }


def _list(values: Sequence[str]) -> str:
    return json.dumps(list(values), separators=(",", ":"))
