"""Pod Security Standards: sentences compared with a real server's, and what the labels of a namespace do."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.api.errors import ApiError
from workshop.apiserver.admission.configuration import load
from workshop.apiserver.admission.pod_security import PREFIX, PodSecurity
from workshop.apiserver.admission.pod_security_checks import violations
from workshop.apiserver.interfaces import UserInfo

GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "c", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
}
PLAIN = {"containers": [{"name": "c"}]}


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": spec}


async def test_restricted_names_all_that_is_missing(context: Any, request_for: Any) -> None:
    context.add("namespaces", "default", metadata={"labels": {PREFIX + "enforce": "restricted"}})
    with pytest.raises(ApiError) as e:
        await PodSecurity(context).validate(request_for("pods", pod(PLAIN)))
    assert e.value.message == (
        'pods "web" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )
    await PodSecurity(context).validate(request_for("pods", pod(GOOD)))


async def test_warning_for_a_workloads_template(context: Any, request_for: Any) -> None:
    context.add(
        "namespaces", "default", metadata={"labels": {PREFIX + "warn": "baseline", PREFIX + "warn-version": "v1.30"}}
    )
    template = {"spec": {"hostNetwork": True, **PLAIN}}
    request = request_for("deployments", {"metadata": {"name": "d"}, "spec": {"template": template}})
    await PodSecurity(context).validate(request)
    assert request.warnings == ['would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)']


async def test_no_labels_no_check_and_an_unknown_level_is_the_strictest(context: Any, request_for: Any) -> None:
    context.add("namespaces", "default")
    plugin = PodSecurity(context)
    await plugin.validate(request_for("pods", pod({"hostPID": True, **PLAIN})))
    context.add("namespaces", "default", metadata={"labels": {PREFIX + "enforce": "bazeline"}})
    with pytest.raises(ApiError, match="restricted:latest"):
        await plugin.validate(request_for("pods", pod(PLAIN)))


def with_context(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "securityContext": context}]}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (with_context(privileged=True), 'privileged (container "c" must not set securityContext.privileged=true)'),
        (
            with_context(capabilities={"add": ["CHOWN", "NET_ADMIN"]}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
        ),
        ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}], **PLAIN}, 'hostPath volumes (volume "h")'),
        (
            {"containers": [{"name": "c", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]},
            'hostPort (container "c" uses hostPorts 443, 80)',
        ),
        (
            {"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "a"}}}]},
            'probe or lifecycle host (container "c" uses probe or lifecycle host "a")',
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}, **PLAIN},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            {"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}, **PLAIN},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x"; user may not be set)',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}, **PLAIN}, "forbidden sysctls (kernel.msgmax)"),
        (
            with_context(procMount="Unmasked"),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            with_context(windowsOptions={"hostProcess": True}),
            'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
        (
            with_context(appArmorProfile={"type": "Unconfined"}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline(spec: dict[str, Any], sentence: str) -> None:
    assert [f"{reason} ({detail})" for reason, detail in violations("baseline", pod(spec))] == [sentence]
    assert violations("privileged", pod(spec)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"volumes": [{"name": "v", "nfs": {}}]},
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
        (
            {"securityContext": {**GOOD["securityContext"], "runAsUser": 0}},  # type: ignore[dict-item]
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            {"securityContext": {**GOOD["securityContext"], "runAsNonRoot": False}},  # type: ignore[dict-item]
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
    ],
)
def test_restricted(change: dict[str, Any], sentence: str) -> None:
    assert [f"{reason} ({detail})" for reason, detail in violations("restricted", pod({**GOOD, **change}))] == [
        sentence
    ]
    assert violations("baseline", pod({**GOOD, **change})) == []


def test_a_user_namespace_makes_root_harmless() -> None:
    root = {**GOOD, "hostUsers": False, "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "Localhost"}}}
    assert violations("restricted", pod(root)) == []


def namespace(**said: str) -> dict[str, Any]:
    return {"metadata": {"name": "default", "labels": {PREFIX + k.replace("_", "-"): v for k, v in said.items()}}}


async def test_a_stricter_namespace_tells_which_pods_it_would_refuse(context: Any, request_for: Any) -> None:
    for name, spec in (("a", PLAIN), ("b", PLAIN), ("c", {"hostPID": True, **PLAIN}), ("good", GOOD)):
        context.add("pods", name, "default", spec=spec)
    request = request_for("namespaces", namespace(enforce="restricted"), "UPDATE", old=namespace())
    await PodSecurity(context).validate(request)
    lacking = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    assert request.warnings == [
        'existing pods in namespace "default" violate the new PodSecurity enforce level "restricted:latest"',
        f"a (and 1 other pod): {lacking}",
        f"c: host namespaces, {lacking}",
    ]
    relaxed = request_for("namespaces", namespace(enforce="baseline"), "UPDATE", old=namespace(enforce="restricted"))
    await PodSecurity(context).validate(relaxed)
    assert relaxed.warnings == []


async def test_labels_must_be_known_words(context: Any, request_for: Any) -> None:
    wrong = namespace(enforce="bazeline", enforce_version="x")
    with pytest.raises(ApiError) as e:
        await PodSecurity(context).validate(request_for("namespaces", wrong))
    assert e.value.code == 422
    field = "metadata.labels[pod-security.kubernetes.io/enforce]"
    assert f'{field}: Invalid value: "bazeline": must be one of privileged, baseline, restricted' in e.value.message
    assert 'Invalid value: "x": must be "latest" or "v1.x"' in e.value.message
    # what was wrong before may stay
    await PodSecurity(context).validate(request_for("namespaces", wrong, "UPDATE", old=wrong))


async def test_only_a_new_image_has_a_living_pod_judged_again(context: Any, request_for: Any) -> None:
    context.add("namespaces", "default", metadata=namespace(enforce="restricted")["metadata"])
    old, new = pod({"containers": [{"name": "c", "image": "a"}]}), pod({"containers": [{"name": "c", "image": "b"}]})
    plugin = PodSecurity(context)
    await plugin.validate(request_for("pods", old, "UPDATE", old=old))
    with pytest.raises(ApiError, match="violates PodSecurity"):
        await plugin.validate(request_for("pods", new, "UPDATE", old=old))


CONFIGURATION = b"""
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: restricted, enforce-version: v1.30}
    exemptions: {usernames: [boss], runtimeClasses: [sandbox]}
"""


async def test_a_clusters_defaults_and_who_is_exempt(context: Any, request_for: Any) -> None:
    context.add("namespaces", "default")
    plugin = PodSecurity(context)
    plugin.settings = load(CONFIGURATION, lambda path: b"")
    with pytest.raises(ApiError, match=r'violates PodSecurity "restricted:v1\.30"'):
        await plugin.validate(request_for("pods", pod(PLAIN)))
    boss = request_for("pods", pod(PLAIN), user=UserInfo("boss"))
    await plugin.validate(boss)
    assert boss.annotations[PREFIX + "exempt"] == "user"
    await plugin.validate(request_for("pods", pod({**PLAIN, "runtimeClassName": "sandbox"})))
    context.add("namespaces", "default", metadata={"labels": {PREFIX + "enforce": "privileged"}})
    await plugin.validate(request_for("pods", pod(PLAIN)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"enforce: restricted", b"enforce: strict", "must be one of privileged, baseline, restricted"),
        (b"v1.30", b"1.30", 'must be "latest" or "v1.x"'),
        (b"enforce-version", b"enforced", 'unknown field "defaults.enforced"'),
        (b"name: PodSecurity", b"name: EventRateLimit", "'EventRateLimit' takes no configuration here"),
        (b"kind: AdmissionConfiguration", b"kind: Other", "not an AdmissionConfiguration"),
    ],
)
def test_configurations_that_cannot_be(old: bytes, new: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load(CONFIGURATION.replace(old, new), lambda path: b"")
