"""Rows of all other kinds, a function each; columns are in columns.json."""

from __future__ import annotations

from typing import Any

from workshop.api.meta import Obj
from workshop.apiserver.printers.cells import (
    access_modes,
    age,
    containers,
    get,
    human_duration,
    label_selector,
    more_than,
    name_of,
    pairs,
    printer,
    since,
)


def _terminating(obj: Obj, phase: str) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else phase


@printer("nodes")
def node(obj: Obj, now: float) -> list[Any]:
    ready = [c["status"] for c in get(obj, "status.conditions", []) if c["type"] == "Ready"]
    status = [("Ready" if ready[-1] == "True" else "NotReady") if ready else "Unknown"]
    status += ["SchedulingDisabled"] * bool(get(obj, "spec.unschedulable"))
    labels = obj["metadata"].get("labels") or {}
    lead = "node-role.kubernetes.io/"
    roles = {key.removeprefix(lead) for key in labels if key.startswith(lead) and key != lead}
    roles |= {value for key, value in labels.items() if key == "kubernetes.io/role" and value}
    info = get(obj, "status.nodeInfo", {})
    kernel = info.get("kernelVersion") or "<unknown>"
    kernel += f" ({info['architecture']})" if info.get("architecture") else ""
    addresses = get(obj, "status.addresses", [])
    inside, outside = (
        next((a["address"] for a in addresses if a["type"] == kind), "<none>") for kind in ("InternalIP", "ExternalIP")
    )
    cells = [name_of(obj), ",".join(status), ",".join(sorted(roles)) or "<none>", age(obj, now)]
    cells += [info.get("kubeletVersion", ""), inside, outside, info.get("osImage") or "<unknown>", kernel]
    return [*cells, info.get("containerRuntimeVersion") or "<unknown>"]


@printer("namespaces")
def namespace(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), get(obj, "status.phase", ""), age(obj, now)]


def _ports(obj: Obj) -> str:
    made = []
    for port in get(obj, "spec.ports", []):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        made.append(f"{port['port']}{node_port}/{port.get('protocol', '')}")
    return ",".join(made) or "<none>"


def _external_address(obj: Obj) -> str:
    spec = obj.get("spec", {})
    external, kind = list(spec.get("externalIPs") or []), spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        ingress = get(obj, "status.loadBalancer.ingress", [])
        given = sorted({i.get("ip") or i.get("hostname", "") for i in ingress} - {""})
        return ",".join(given + external) or "<pending>"
    return (",".join(external) or "<none>") if kind in ("ClusterIP", "NodePort") else "<unknown>"


@printer("services")
def service(obj: Obj, now: float) -> list[Any]:
    addresses = get(obj, "spec.clusterIPs") or [get(obj, "spec.clusterIP") or "<none>"]
    cells = [name_of(obj), get(obj, "spec.type", ""), addresses[0], _external_address(obj), _ports(obj), age(obj, now)]
    return [*cells, pairs(get(obj, "spec.selector"))]


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@printer("endpoints")
def endpoints(obj: Obj, now: float) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or []:
        addresses = [a["ip"] for a in subset.get("addresses") or []]
        for port in subset.get("ports") or [None]:
            found += [a if port is None else _joined(a, port["port"]) for a in addresses]
    text = more_than(3, found, len(found)) if obj.get("subsets") else "<none>"
    return [name_of(obj), text, age(obj, now)]


@printer("endpointslices.discovery.k8s.io")
def endpoint_slice(obj: Obj, now: float) -> list[Any]:
    ports = [str(p.get("port") or p.get("name") or "*") for p in obj.get("ports") or []]
    addresses = [a for e in obj.get("endpoints") or [] for a in e.get("addresses") or []]
    listed = more_than(3, addresses, len(addresses)) if addresses else "<unset>"
    shown = more_than(3, ports, len(ports)) if ports else "<unset>"
    return [name_of(obj), obj.get("addressType", ""), shown, listed, age(obj, now)]


@printer("configmaps", "secrets")
def data(obj: Obj, now: float) -> list[Any]:
    count = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
    kind = [obj.get("type", "")] if obj.get("kind") == "Secret" or "type" in obj else []
    return [name_of(obj), *kind, count, age(obj, now)]


@printer("events", "events.events.k8s.io")
def event(obj: Obj, now: float) -> list[Any]:
    """Both groups' events: the newer one has other names for the same things."""
    first = get(obj, "firstTimestamp") or get(obj, "deprecatedFirstTimestamp") or get(obj, "eventTime")
    last = get(obj, "lastTimestamp") or get(obj, "deprecatedLastTimestamp") or first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series := obj.get("series"):
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    target = about.get("kind", "").lower() + (f"/{about['name']}" if about.get("name") else "")
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    message = (obj.get("message") or obj.get("note") or "").strip()
    cells = [since(last, now), obj.get("type", ""), obj.get("reason", ""), target, about.get("fieldPath", "")]
    return [*cells, f"{component}, {host}" if host else component, message, since(first, now), count, name_of(obj)]


@printer("serviceaccounts", "podtemplates", "limitranges", "roles.rbac.authorization.k8s.io")
def name_and_age(obj: Obj, now: float) -> list[Any]:
    if "template" in obj:
        return [name_of(obj), *containers(obj["template"]), pairs(get(obj, "template.metadata.labels"))]
    created = obj["metadata"].get("creationTimestamp", "")
    return [name_of(obj), created if obj.get("kind") in ("LimitRange", "Role") else age(obj, now)]


@printer("clusterroles.rbac.authorization.k8s.io")
def cluster_role(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj["metadata"].get("creationTimestamp", "")]


@printer("rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io")
def role_binding(obj: Obj, now: float) -> list[Any]:
    subjects, ref = obj.get("subjects") or [], obj.get("roleRef", {})

    def named(kind: str) -> str:
        return ", ".join(s["name"] for s in subjects if s.get("kind") == kind)

    accounts = ", ".join(f"{s.get('namespace', '')}/{s['name']}" for s in subjects if s.get("kind") == "ServiceAccount")
    role = f"{ref.get('kind', '')}/{ref.get('name', '')}"
    return [name_of(obj), role, age(obj, now), named("User"), named("Group"), accounts]


@printer("networkpolicies.networking.k8s.io")
def network_policy(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), label_selector(get(obj, "spec.podSelector")), age(obj, now)]


@printer("ingresses.networking.k8s.io")
def ingress(obj: Obj, now: float) -> list[Any]:
    hosts = [rule["host"] for rule in get(obj, "spec.rules", []) if rule.get("host")]
    given = get(obj, "status.loadBalancer.ingress", [])
    addresses = sorted({i.get("ip") or i.get("hostname", "") for i in given} - {""})
    ports = "80, 443" if get(obj, "spec.tls") else "80"
    cells = [name_of(obj), get(obj, "spec.ingressClassName", "<none>"), more_than(3, hosts, len(hosts)) or "*"]
    return [*cells, ",".join(addresses), ports, age(obj, now)]


DEFAULT_CLASS = {
    "ingressclasses.networking.k8s.io": "ingressclass.kubernetes.io/is-default-class",
    "storageclasses.storage.k8s.io": "storageclass.kubernetes.io/is-default-class",
}


def _class_name(obj: Obj, annotation: str) -> str:
    marked = (obj["metadata"].get("annotations") or {}).get(annotation) == "true"
    return name_of(obj) + (" (default)" if marked else "")


@printer("ingressclasses.networking.k8s.io")
def ingress_class(obj: Obj, now: float) -> list[Any]:
    shown = "<none>"
    if parameters := get(obj, "spec.parameters"):
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    name = _class_name(obj, DEFAULT_CLASS["ingressclasses.networking.k8s.io"])
    return [name, get(obj, "spec.controller", ""), shown, age(obj, now)]


@printer("storageclasses.storage.k8s.io")
def storage_class(obj: Obj, now: float) -> list[Any]:
    name = _class_name(obj, DEFAULT_CLASS["storageclasses.storage.k8s.io"])
    cells = [name, obj.get("provisioner", ""), obj.get("reclaimPolicy") or "Delete"]
    return [*cells, obj.get("volumeBindingMode") or "Immediate", bool(obj.get("allowVolumeExpansion")), age(obj, now)]


@printer("persistentvolumes")
def persistent_volume(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status", {})
    claim = spec.get("claimRef")
    cells = [name_of(obj), get(spec, "capacity.storage", "0"), access_modes(spec.get("accessModes"))]
    cells += [spec.get("persistentVolumeReclaimPolicy", ""), _terminating(obj, status.get("phase", ""))]
    cells += [
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
    ]
    cells += [spec.get("volumeAttributesClassName") or "<unset>", status.get("reason", ""), age(obj, now)]
    return [*cells, spec.get("volumeMode") or "<unset>"]


@printer("persistentvolumeclaims")
def persistent_volume_claim(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status", {})
    bound = bool(spec.get("volumeName"))
    capacity = get(status, "capacity.storage", "0") if bound else ""
    modes = access_modes(status.get("accessModes")) if bound else ""
    cells = [name_of(obj), _terminating(obj, status.get("phase", "")), spec.get("volumeName", ""), capacity, modes]
    cells += [spec.get("storageClassName") or "", spec.get("volumeAttributesClassName") or "<unset>", age(obj, now)]
    return [*cells, spec.get("volumeMode") or "<unset>"]


@printer("leases.coordination.k8s.io")
def lease(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), get(obj, "spec.holderIdentity", ""), age(obj, now)]


@printer("priorityclasses.scheduling.k8s.io")
def priority_class(obj: Obj, now: float) -> list[Any]:
    cells = [name_of(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now)]
    return [*cells, obj.get("preemptionPolicy", "")]


@printer("certificatesigningrequests.certificates.k8s.io")
def signing_request(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status", {})
    seconds = spec.get("expirationSeconds")
    decided = {c["type"] for c in status.get("conditions") or []}
    state = [name for name in ("Denied", "Approved") if name in decided][:1] or ["Pending"]
    state += ["Failed"] if "Failed" in decided else []
    state += ["Issued"] if status.get("certificate") else []
    duration = "<none>" if seconds is None else human_duration(seconds)
    cells = [name_of(obj), age(obj, now), spec.get("signerName") or "<none>", spec.get("username", ""), duration]
    return [*cells, ",".join(state)]


@printer("resourcequotas")
def resource_quota(obj: Obj, now: float) -> list[Any]:
    hard, used = get(obj, "status.hard", {}), get(obj, "status.used", {})
    columns: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(hard):
        columns[name.startswith("limits.")].append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    return [name_of(obj), ", ".join(columns[False]), ", ".join(columns[True]), age(obj, now)]


@printer("flowschemas.flowcontrol.apiserver.k8s.io")
def flow_schema(obj: Obj, now: float) -> list[Any]:
    dangling = [c["status"] for c in get(obj, "status.conditions", []) if c["type"] == "Dangling"] or ["?"]
    cells = [name_of(obj), get(obj, "spec.priorityLevelConfiguration.name", ""), get(obj, "spec.matchingPrecedence", 0)]
    return [*cells, get(obj, "spec.distinguisherMethod.type", "<none>"), age(obj, now), dangling[0]]


@printer("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io")
def priority_level(obj: Obj, now: float) -> list[Any]:
    shares = get(obj, "spec.limited.nominalConcurrencyShares", "<none>")
    queuing = get(obj, "spec.limited.limitResponse.queuing", {})
    limits = [queuing.get(name, "<none>") for name in ("queues", "handSize", "queueLengthLimit")]
    return [name_of(obj), get(obj, "spec.type", ""), shares, *limits, age(obj, now)]


@printer("servicecidrs.networking.k8s.io")
def service_cidr(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), ",".join(get(obj, "spec.cidrs", [])), age(obj, now)]


@printer("ipaddresses.networking.k8s.io")
def ip_address(obj: Obj, now: float) -> list[Any]:
    ref = get(obj, "spec.parentRef", {})
    group = f".{ref['group']}" if ref.get("group") else ""
    parts = [f"{ref.get('resource', '')}{group}".lower(), ref.get("namespace", ""), ref.get("name", "")]
    return [name_of(obj), "/".join(part for part in parts if part) or "<none>", age(obj, now)]


@printer("csinodes.storage.k8s.io")
def csi_node(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), len(get(obj, "spec.drivers", [])), age(obj, now)]


@printer("runtimeclasses.node.k8s.io")
def runtime_class(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj.get("handler", ""), age(obj, now)]


@printer(
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
)
def webhooks(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), len(obj.get("webhooks") or []), age(obj, now)]


@printer("componentstatuses")
def component_status(obj: Obj, now: float) -> list[Any]:
    found: Obj = next((c for c in obj.get("conditions") or [] if c["type"] == "Healthy"), {})
    status = {"True": "Healthy", None: "Unknown"}.get(found.get("status"), "Unhealthy")
    return [name_of(obj), status, found.get("message", ""), found.get("error", "")]


@printer("apiservices.apiregistration.k8s.io")
def api_service(obj: Obj, now: float) -> list[Any]:
    service = get(obj, "spec.service")
    shown = f"{service['namespace']}/{service['name']}" if service else "Local"
    available: Obj = next((c for c in get(obj, "status.conditions", []) if c["type"] == "Available"), {})
    state = available.get("status", "Unknown")
    if state not in ("True", "Unknown") and available.get("reason"):
        state += f" ({available['reason']})"
    return [name_of(obj), shown, state, age(obj, now)]


@printer("csidrivers.storage.k8s.io")
def csi_driver(obj: Obj, now: float) -> list[Any]:
    spec = obj["spec"]
    tokens = spec.get("tokenRequests")
    audiences = "<unset>" if tokens is None else ",".join(t["audience"] for t in tokens)
    cells = [name_of(obj), spec.get("attachRequired", True), bool(spec.get("podInfoOnMount"))]
    cells += [bool(spec.get("storageCapacity")), audiences, bool(spec.get("requiresRepublish"))]
    return [*cells, ",".join(spec.get("volumeLifecycleModes") or []) or "<none>", age(obj, now)]


@printer("csistoragecapacities.storage.k8s.io", "customresourcedefinitions.apiextensions.k8s.io")
def name_and_created_at(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj["metadata"].get("creationTimestamp", "")]


@printer("volumeattachments.storage.k8s.io")
def volume_attachment(obj: Obj, now: float) -> list[Any]:
    volume, node_name = get(obj, "spec.source.persistentVolumeName", ""), get(obj, "spec.nodeName", "")
    attached = get(obj, "status.attached", False)
    return [name_of(obj), get(obj, "spec.attacher", ""), volume, node_name, attached, age(obj, now)]


@printer("volumeattributesclasses.storage.k8s.io")
def volume_attributes_class(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj.get("driverName", ""), age(obj, now)]


@printer(
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
)
def admission_policy(obj: Obj, now: float) -> list[Any]:
    spec = obj["spec"]
    kind = spec.get("paramKind")
    rules = spec.get("mutations") if "mutations" in spec else spec.get("validations")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"
    return [name_of(obj), len(rules or []), shown, age(obj, now)]


@printer(
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
)
def admission_policy_binding(obj: Obj, now: float) -> list[Any]:
    ref = get(obj, "spec.paramRef", {})
    shown = f"{ref.get('namespace') or '*'}/{ref['name']}" if ref.get("name") else "<unset>"
    if not ref.get("name") and ref.get("selector"):
        mutating = obj.get("kind") == "MutatingAdmissionPolicyBinding"  # shows the structure as Go prints it
        shown = _go_selector(ref["selector"]) if mutating else label_selector(ref["selector"])
    return [name_of(obj), get(obj, "spec.policyName", ""), shown, age(obj, now)]


def _go_selector(selector: Obj) -> str:
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{e.get('key', '')},Operator:{e.get('operator', '')},"
        f"Values:[{' '.join(e.get('values') or ())}],}},"
        for e in selector.get("matchExpressions") or ()
    )
    shown = f"MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},"
    return f"&LabelSelector{{{shown}}}"


@printer("deviceclasses.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io")
def device_class(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), age(obj, now)]


@printer("resourceclaims.resource.k8s.io")
def resource_claim(obj: Obj, now: float) -> list[Any]:
    deleted, allocated = bool(obj["metadata"].get("deletionTimestamp")), get(obj, "status.allocation") is not None
    states = ["deleted"] * deleted + (["allocated"] if allocated else ["pending"] * (not deleted))
    states += ["reserved"] * bool(allocated and get(obj, "status.reservedFor"))
    return [name_of(obj), ",".join(states), age(obj, now)]


@printer("resourceslices.resource.k8s.io")
def resource_slice(obj: Obj, now: float) -> list[Any]:
    cells = [name_of(obj), get(obj, "spec.nodeName", ""), get(obj, "spec.driver", "")]
    return [*cells, get(obj, "spec.pool.name", ""), age(obj, now)]
