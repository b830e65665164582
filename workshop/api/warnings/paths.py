"""Files that a volume puts on top of each other: two of the same path, or one where another has a folder.

Upstream: pkg/api/pod/warnings.go (warningsForOverlappingVirtualPaths), v1.36.2."""

from __future__ import annotations

from collections.abc import Iterator

from workshop.api.errors import quote
from workshop.api.meta import Obj

File = tuple[str, str]
"""The path, and what it comes from ("" in a volume of one source)."""


def overlapping(volumes: list[Obj]) -> Iterator[str]:
    for volume in volumes:
        name = volume.get("name", "")
        for field, what in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
            if (source := volume.get(field)) is not None:
                title = what if field == "downwardAPI" else f"{what} {quote(_name(source))}"
                for told in _collisions([(each.get("path", ""), "") for each in source.get("items") or []]):
                    yield f"volume {quote(name)} ({title}): overlapping paths: {told}"
        files: list[File] = []
        for source in (volume.get("projected") or {}).get("sources") or []:
            if not source:
                yield f"volume {quote(name)} (Projected) has no sources provided"
            files += _projected(source)
        for told in _collisions(files):
            yield f"volume {quote(name)} (Projected): overlapping paths: {told}"


def _name(source: Obj) -> str:
    return str(source.get("secretName") or source.get("name") or "")


def _projected(source: Obj) -> list[File]:
    for field, what in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        if (found := source.get(field)) is not None and found.get("items") is not None:
            title = what if field == "downwardAPI" else f"{what} {quote(found.get('name', ''))}"
            return [(each.get("path", ""), title) for each in found["items"]]
    if (found := source.get("serviceAccountToken")) is not None:
        return [(found.get("path", ""), "ServiceAccountToken")]
    if (found := source.get("clusterTrustBundle")) is not None:
        named = found["name"] if found.get("name") is not None else found.get("signerName", "")
        return [(found.get("path", ""), f"ClusterTrustBundle {quote(named)}")]
    if (found := source.get("podCertificate")) is not None:
        fields = {"certificateChainPath": "chain", "keyPath": "key", "credentialBundlePath": "credential bundle"}
        return [(found[field], f"PodCertificate {what}") for field, what in fields.items() if found.get(field)]
    return []


def _collisions(files: list[File]) -> Iterator[str]:
    before: list[File] = []
    for path, source in files:
        one = (path.rstrip("/"), source)
        for other in before:
            if _on_top(one[0], other[0]):
                yield f"{_shown(one)} with {_shown(other)}"
        before.append(one)


def _on_top(path: str, other: str) -> bool:
    if not path or not other:
        return False
    return f"{other}/".startswith(f"{path}/") or f"{path}/".startswith(f"{other}/")


def _shown(file: File) -> str:
    path, source = file
    return f"{quote(path)} ({source})" if source else quote(path)
