"""The Pod Security Standards: what a pod of level `baseline` or `restricted` must not ask for. Pure.

A check reads a pod and answers nothing, or a reason with a detail, in upstream's words:
`runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)`.

Upstream: `staging/src/k8s.io/pod-security-admission/policy/check_*.go`, as of policy version 1.36.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from workshop.api.meta import Obj

Violation = tuple[str, str]
"""Reason and detail."""
Check = Callable[[Obj], Violation | None]

CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
)  # fmt: skip
PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(level: str, pod: Obj) -> list[Violation]:
    """What `pod` (metadata and spec) breaks of a level; `privileged` allows all."""
    found = (check(pod) for check in CHECKS[level])
    return [violation for violation in found if violation is not None]


def _spec(pod: Obj) -> Obj:
    return pod.get("spec") or {}


def _containers(pod: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from _spec(pod).get(field) or ()


def _context(owner: Obj) -> Obj:
    return owner.get("securityContext") or {}


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


def _some(word: str, names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{_plural(word, names)} {_quoted(names)}"


def _plural(word: str, things: list[str]) -> str:
    return word if len(things) == 1 else word + "s"


def _use(things: list[str]) -> str:
    return "uses" if len(things) == 1 else "use"


def _setters(pod: Obj, wrong: Callable[[Obj], bool]) -> str:
    """Who says something wrong in his securityContext: `pod and container "c"`; "" if nobody."""
    names = [c["name"] for c in _containers(pod) if wrong(_context(c))]
    found = ["pod"] if wrong(_context(_spec(pod))) else []
    return " and ".join(found + ([_some("container", names)] if names else []))


def _values(pod: Obj, value: Callable[[Obj], Any], wrong: Callable[[Any], bool]) -> list[str]:
    """The wrong values of pod and containers, sorted, each once."""
    said = [value(_context(owner)) for owner in (_spec(pod), *_containers(pod))]
    return sorted({str(v) for v in said if v is not None and wrong(v)})


def _on_windows(pod: Obj) -> bool:
    return (_spec(pod).get("os") or {}).get("name") == "windows"


def _own_users(pod: Obj) -> bool:
    """In a user namespace root is nobody outside; some checks are void then."""
    return _spec(pod).get("hostUsers") is False


# --- baseline


def app_armor(pod: Obj) -> Violation | None:
    def kind(context: Obj) -> Any:
        return (context.get("appArmorProfile") or {}).get("type")

    def wrong(value: Any) -> bool:
        return value is not None and value not in PROFILES

    setters = [s for s in [_setters(pod, lambda context: wrong(kind(context)))] if s]
    values = _values(pod, kind, wrong)
    annotations = ((pod.get("metadata") or {}).get("annotations") or {}).items()
    bad = sorted(f'{k}="{v}"' for k, v in annotations if k.startswith(_APPARMOR) and not _allowed_annotation(v))
    if bad:
        values, setters = values + bad, setters + [_plural("annotation", bad)]
    if not setters:
        return None
    return (
        _plural("forbidden AppArmor profile", values),
        f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(values)}",
    )


def _allowed_annotation(value: str) -> bool:
    return value in ("", "runtime/default") or value.startswith("localhost/")


def capabilities_baseline(pod: Obj) -> Violation | None:
    def added(container: Obj) -> set[str]:
        return set((_context(container).get("capabilities") or {}).get("add") or ()) - CAPABILITIES

    names = [c["name"] for c in _containers(pod) if added(c)]
    if not names:
        return None
    wrong = sorted(set().union(*(added(c) for c in _containers(pod))))
    detail = f"{_some('container', names)} must not include {_quoted(wrong)} in securityContext.capabilities.add"
    return "non-default capabilities", detail


def host_namespaces(pod: Obj) -> Violation | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if _spec(pod).get(field)]
    return ("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(pod: Obj) -> Violation | None:
    names = [v["name"] for v in _spec(pod).get("volumes") or () if v.get("hostPath") is not None]
    return ("hostPath volumes", _some("volume", names)) if names else None


def host_ports(pod: Obj) -> Violation | None:
    by_name = {c["name"]: [p["hostPort"] for p in c.get("ports") or () if p.get("hostPort")] for c in _containers(pod)}
    names = [name for name, ports in by_name.items() if ports]
    ports = sorted({str(port) for ports in by_name.values() for port in ports})
    if not names:
        return None
    return "hostPort", f"{_some('container', names)} {_use(names)} {_plural('hostPort', ports)} {', '.join(ports)}"


def host_probes(pod: Obj) -> Violation | None:
    def hosts(container: Obj) -> set[str]:
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(f) for f in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        actions = [h.get(f) or {} for h in handlers if h for f in ("httpGet", "tcpSocket")]
        return {a["host"] for a in actions if a.get("host")}

    names = sorted({c["name"] for c in _containers(pod) if hosts(c)})
    if not names:
        return None
    wrong = sorted(set().union(*(hosts(c) for c in _containers(pod))))
    what = "probe or lifecycle host"
    return what, f"{_some('container', names)} {_use(names)} {_some(what, wrong)}"


def privileged(pod: Obj) -> Violation | None:
    names = [c["name"] for c in _containers(pod) if _context(c).get("privileged")]
    detail = f"{_some('container', names)} must not set securityContext.privileged=true"
    return ("privileged", detail) if names else None


def proc_mount(pod: Obj) -> Violation | None:
    if _own_users(pod):
        return None
    said = {c["name"]: str(_context(c).get("procMount") or "Default") for c in _containers(pod)}
    wrong = {name: kind for name, kind in said.items() if kind != "Default"}
    if not wrong:
        return None
    kinds = _quoted(sorted(set(wrong.values())))
    return "procMount", f"{_some('container', list(wrong))} must not set securityContext.procMount to {kinds}"


def selinux(pod: Obj) -> Violation | None:
    def options(context: Obj) -> Obj:
        return context.get("seLinuxOptions") or {}

    def wrong(context: Obj) -> bool:
        o = options(context)
        return o.get("type", "") not in SELINUX_TYPES or bool(o.get("user") or o.get("role"))

    setters = _setters(pod, wrong)
    if not setters:
        return None
    types = _values(pod, lambda context: options(context).get("type"), lambda kind: kind not in SELINUX_TYPES)
    found = [_some("type", types)] if types else []
    if _values(pod, lambda context: options(context).get("user"), bool):
        found.append("user may not be set")
    if _values(pod, lambda context: options(context).get("role"), bool):
        found.append("role may not be set")
    return "seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(found)}"


def _profile(context: Obj) -> Any:
    return (context.get("seccompProfile") or {}).get("type")


def _wrong_profile(value: Any) -> bool:
    return value is not None and value not in PROFILES


def seccomp_baseline(pod: Obj) -> Violation | None:
    setters = _setters(pod, lambda context: _wrong_profile(_profile(context)))
    if not setters:
        return None
    values = _quoted(_values(pod, _profile, _wrong_profile))
    return "seccompProfile", f"{setters} must not set securityContext.seccompProfile.type to {values}"


def sysctls(pod: Obj) -> Violation | None:
    wrong = [s["name"] for s in _context(_spec(pod)).get("sysctls") or () if s["name"] not in SYSCTLS]
    return ("forbidden sysctls", ", ".join(wrong)) if wrong else None


def windows_host_process(pod: Obj) -> Violation | None:
    setters = _setters(pod, lambda context: bool((context.get("windowsOptions") or {}).get("hostProcess")))
    detail = f"{setters} must not set securityContext.windowsOptions.hostProcess=true"
    return ("hostProcess", detail) if setters else None


# --- restricted


def privilege_escalation(pod: Obj) -> Violation | None:
    names = [c["name"] for c in _containers(pod) if _context(c).get("allowPrivilegeEscalation") is not False]
    if not names or _on_windows(pod):
        return None
    detail = f"{_some('container', names)} must set securityContext.allowPrivilegeEscalation=false"
    return "allowPrivilegeEscalation != false", detail


def capabilities_restricted(pod: Obj) -> Violation | None:
    if _on_windows(pod):
        return None
    keeping: list[str] = []
    adding: dict[str, set[str]] = {}
    for container in _containers(pod):
        capabilities = _context(container).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keeping.append(container["name"])
        added = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if added:
            adding[container["name"]] = added
    details: list[str] = []
    if keeping:
        details.append(f'{_some("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        wrong = _quoted(sorted(set().union(*adding.values())))
        who = _some("container", list(adding))
        details.append(f"{who} must not include {wrong} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(details)) if details else None


def restricted_volumes(pod: Obj) -> Violation | None:
    wrong: dict[str, str] = {}
    for volume in _spec(pod).get("volumes") or ():
        kinds = [key for key in volume if key != "name"]
        if not any(kind in VOLUMES for kind in kinds):
            wrong[volume["name"]] = kinds[0] if kinds else "unknown"
    if not wrong:
        return None
    names, kinds = list(wrong), sorted(set(wrong.values()))
    detail = f"{_some('volume', names)} {_use(names)} {_some('restricted volume type', kinds)}"
    return "restricted volume types", detail


def run_as_non_root(pod: Obj) -> Violation | None:
    if _own_users(pod):
        return None
    reason = "runAsNonRoot != true"
    setters = _setters(pod, lambda context: context.get("runAsNonRoot") is False)
    if setters:
        return reason, f"{setters} must not set securityContext.runAsNonRoot=false"
    silent = [c["name"] for c in _containers(pod) if _context(c).get("runAsNonRoot") is None]
    if not silent or _context(_spec(pod)).get("runAsNonRoot"):
        return None
    return reason, f"pod or {_some('container', silent)} must set securityContext.runAsNonRoot=true"


def run_as_user(pod: Obj) -> Violation | None:
    if _own_users(pod):
        return None
    setters = _setters(pod, lambda context: context.get("runAsUser") == 0)
    return ("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def seccomp_restricted(pod: Obj) -> Violation | None:
    if _on_windows(pod):
        return None
    wrong = seccomp_baseline(pod)
    if wrong:
        return wrong
    silent = [c["name"] for c in _containers(pod) if _profile(_context(c)) is None]
    if not silent or _profile(_context(_spec(pod))) is not None:
        return None
    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", f"pod or {_some('container', silent)} {must}"


_BASELINE: tuple[Check, ...] = (
    app_armor, capabilities_baseline, host_namespaces, host_path_volumes, host_ports, host_probes, privileged,
    proc_mount, selinux, seccomp_baseline, sysctls, windows_host_process,
)  # fmt: skip
_RESTRICTED: tuple[Check, ...] = (
    privilege_escalation, capabilities_restricted, restricted_volumes, run_as_non_root, run_as_user,
    seccomp_restricted,
)  # fmt: skip
_STRONGER = (capabilities_baseline, host_path_volumes, seccomp_baseline)
#: In upstream's order; `restricted` leaves out what its own checks say more strictly.
CHECKS: dict[str, tuple[Check, ...]] = {
    "privileged": (),
    "baseline": _BASELINE,
    "restricted": tuple(c for c in _BASELINE if c not in _STRONGER) + _RESTRICTED,
}
