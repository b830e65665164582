"""Downward API and projected volumes, and fields of the pod as variables. Upstream: core/validation
(validateProjectionSources, validateObjectFieldSelector), v1.36.2."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workshop.api import names, quantity
from workshop.api.meta import Obj
from workshop.api.validation import metadata, signers
from workshop.api.validation.field import ErrorList
from workshop.api.validation.paths import file_mode, key_to_path, not_reserved

VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
KNOWN_FIELDS = {*VOLUME_FIELDS, *ENV_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"} | {
    "status.nominatedNodeName", "spec.hostNetwork",
}  # fmt: skip
RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
HUGE = ("limits.hugepages-", "requests.hugepages-")
SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]")


def field_ref(errors: ErrorList, at: str, ref: Obj, known: Iterable[str]) -> None:
    version, field = ref.get("apiVersion", ""), ref.get("fieldPath", "")
    for name, value in (("apiVersion", version), ("fieldPath", field)):
        if not value:
            errors.required(f"{at}.{name}")
            return
    subscript = SUBSCRIPT.fullmatch(field)
    if why := _unconvertible(version, field, subscript):
        errors.invalid(f"{at}.fieldPath", field, f"error converting fieldPath: {why}")
    elif subscript is not None:
        key = subscript[2].lower() if subscript[1] == "metadata.annotations" else subscript[2]
        errors.each(at, key, names.qualified_name(key))
    elif field not in known:
        errors.not_supported(f"{at}.fieldPath", field, known)


def _unconvertible(version: str, field: str, subscript: re.Match[str] | None) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if subscript is not None:
        if subscript[1] not in ("metadata.annotations", "metadata.labels"):
            return f"field label does not support subscript: {field}"
        return ""
    return "" if field in KNOWN_FIELDS else f"field label not supported: {field}"


def resource_ref(errors: ErrorList, at: str, ref: Obj, in_volume: bool) -> None:
    name = ref.get("resource", "")
    if in_volume and not ref.get("containerName"):
        errors.required(f"{at}.containerName")
    elif not name:
        errors.required(f"{at}.resource")
    elif name not in RESOURCES and not name.startswith(HUGE):
        errors.not_supported(f"{at}.resource", name, RESOURCES)
    divisor = ref.get("divisor") or "0"
    if quantity.parse(divisor).is_zero():
        return
    kind = name.partition(".")[2]
    if kind == "cpu":
        if divisor not in ("1m", "1"):
            errors.invalid(f"{at}.divisor", name, "only divisor's values 1m and 1 are supported with the cpu resource")
        return
    said = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(kind)
    said = "hugepages" if name.startswith(HUGE) else said
    if said and name.startswith(("limits.", "requests.")) and divisor not in SIZES:
        listed = ", ".join(SIZES)
        errors.invalid(f"{at}.divisor", name, f"only divisor's values {listed} are supported with the {said} resource")


def downward_file(errors: ErrorList, at: str, file: Obj) -> None:
    errors.needed(file, at, "path")
    not_reserved(errors, f"{at}.path", file.get("path", ""))
    if file.get("fieldRef") is not None:
        field_ref(errors, f"{at}.fieldRef", file["fieldRef"], VOLUME_FIELDS)
        if file.get("resourceFieldRef") is not None:
            errors.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif file.get("resourceFieldRef") is not None:
        resource_ref(errors, f"{at}.resourceFieldRef", file["resourceFieldRef"], True)
    else:
        errors.required(at, "one of fieldRef and resourceFieldRef is required")
    file_mode(errors, f"{at}.mode", file.get("mode"))


def downward(errors: ErrorList, at: str, found: Obj) -> None:
    file_mode(errors, f"{at}.defaultMode", found.get("defaultMode"))
    for item in found.get("items") or []:
        downward_file(errors, at, item)


def projected(errors: ErrorList, at: str, found: Obj) -> None:
    file_mode(errors, f"{at}.defaultMode", found.get("defaultMode"))
    taken: set[str] = set()
    for index, source in enumerate(found.get("sources") or []):
        _projection(errors, at, f"{at}.sources[{index}]", source, taken)


PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def _projection(errors: ErrorList, volume: str, at: str, source: Obj, taken: set[str]) -> None:
    def take(path: str, shown: str) -> None:
        if path in taken:
            errors.invalid(volume, shown, "conflicting duplicate paths")
        taken.add(path)

    for kind in ("secret", "configMap"):
        if (found := source.get(kind)) is None:
            continue
        errors.needed(found, f"{at}.{kind}", "name")
        for index, item in enumerate(found.get("items") or []):
            key_to_path(errors, f"{at}.{kind}.items[{index}]", item)
            if item.get("path"):
                take(item["path"], found.get("name", ""))
    for file in (source.get("downwardAPI") or {}).get("items") or []:
        downward_file(errors, f"{at}.downwardAPI", file)
        if file.get("path"):
            take(file["path"], file["path"])
    if (token := source.get("serviceAccountToken")) is not None:
        _token(errors, volume, f"{at}.serviceAccountToken", token)
    if (bundle := source.get("clusterTrustBundle")) is not None:
        _bundle(errors, f"{at}.clusterTrustBundle", bundle)
        take(bundle.get("path", ""), bundle.get("path", ""))
    if (certificate := source.get("podCertificate")) is not None:
        _certificate(errors, f"{at}.podCertificate", certificate)
        for name in ("credentialBundlePath", "keyPath", "certificateChainPath"):
            if certificate.get(name):
                take(certificate[name], certificate[name])
    if sum(source.get(kind) is not None for kind in PROJECTIONS) > 1:
        errors.forbidden(at, "may not specify more than 1 volume type per source")


def _token(errors: ErrorList, volume: str, at: str, token: Obj) -> None:
    seconds, path = token.get("expirationSeconds", 0), token.get("path", "")
    if seconds < 600:
        errors.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > 1 << 32:
        errors.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not path:
        errors.required(f"{volume}.path")
    else:
        not_reserved(errors, f"{volume}.path", path)


def _bundle(errors: ErrorList, at: str, bundle: Obj) -> None:
    name, signer, labels = bundle.get("name"), bundle.get("signerName"), bundle.get("labelSelector")
    if name is not None and signer is not None:
        errors.invalid(at, bundle, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            errors.required(f"{at}.name", "must be a valid object name")
        for said in signers.bundle_name(name):
            errors.invalid(f"{at}.name", name, f"not a valid clustertrustbundlename: {said}")
        if labels is not None:
            errors.invalid(f"{at}.labelSelector", labels, "labelSelector must be unset if name is specified")
    elif signer is not None:
        if not signer:
            errors.required(f"{at}.signerName", "must be a valid signer name")
        signers.signer_name(errors, f"{at}.signerName", signer)
        metadata.selector(errors, f"{at}.labelSelector", labels)
    else:
        errors.required(at, "either name or signerName must be specified")
    errors.needed(bundle, at, "path")
    not_reserved(errors, f"{at}.path", bundle.get("path", ""))


KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
LONGEST, LONGEST_OF_KUBERNETES = 91 * 24 * 3600, 24 * 3600


def _certificate(errors: ErrorList, at: str, found: Obj) -> None:
    signer, seconds = found.get("signerName", ""), found.get("maxExpirationSeconds")
    signers.signer_name(errors, f"{at}.signerName", signer)
    for key in found.get("userAnnotations") or {}:
        signers.prefixed_key(errors, f"{at}.userAnnotations", key.lower())
    errors.among(f"{at}.keyType", found.get("keyType", ""), KEY_TYPES)
    if seconds is not None:
        most = LONGEST_OF_KUBERNETES if signers.is_kubernetes(signer) else LONGEST
        if seconds < 3600:
            errors.invalid(f"{at}.maxExpirationSeconds", seconds, "if provided, maxExpirationSeconds must be >= 3600")
        if seconds > most:
            errors.invalid(
                f"{at}.maxExpirationSeconds", seconds, f"if provided, maxExpirationSeconds must be <= {most}"
            )
    given = [name for name in ("credentialBundlePath", "keyPath", "certificateChainPath") if found.get(name)]
    for name in given:
        not_reserved(errors, f"{at}.{name}", found[name])
    if not given:
        errors.required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")
