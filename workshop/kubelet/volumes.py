"""A pod's volumes: `Volumes.prepare` makes them below the pod's directory, `mounts` says where containers see them.

    <root-dir>/pods/<uid>/volumes/kubernetes.io~configmap/<name>/..2026_…/key    the files
                                                        /..data -> ..2026_…      exchanged at once on a change
                                                        /key -> ..data/key

Upstream: `pkg/volume/*`, `pkg/volume/util/atomic_writer.go`. Supported: emptyDir, configMap, secret, projected,
downwardAPI, hostPath, image, and persistentVolumeClaim of a hostPath or local volume. Left out: CSI.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from workshop.api import quantity
from workshop.kubelet import cri, env, owner, tmpfs
from workshop.kubelet.env import ConfigError, Lookup
from workshop.kubelet.pods import Obj

Token = Callable[[Obj, str, int], Awaitable[str]]  # (pod, audience, expiration seconds)
Files = dict[str, tuple[bytes, int]]

PLUGINS = {
    "emptyDir": "empty-dir",
    "configMap": "configmap",
    "secret": "secret",
    "projected": "projected",
    "downwardAPI": "downward-api",
}


class VolumeError(Exception):
    """FailedMount: the pod waits until it can be made."""


def check_relative(path: str) -> str:
    """A path inside a volume. Raises VolumeError for what leads out of it."""
    if path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise VolumeError(f"invalid path {path!r}: must be relative and must not contain '..'")
    return path


def items_of(obj: Obj | None, source: Obj, kind: str, namespace: str, default_mode: int) -> Files:
    """Files of a ConfigMap or Secret (or a projection of one). Raises VolumeError when it or a key is missing."""
    name = source.get("name") or source.get("secretName", "")
    if obj is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'{kind.lower()} "{name}" not found')
    if kind == "Secret":
        data = {key: base64.b64decode(value or "") for key, value in (obj.get("data") or {}).items()}
    else:
        data = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
        data |= {key: base64.b64decode(value or "") for key, value in (obj.get("binaryData") or {}).items()}
    if not source.get("items"):
        return {key: (value, default_mode) for key, value in data.items()}
    files: Files = {}
    for item in source["items"]:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise VolumeError(
                f"references non-existent {'secret' if kind == 'Secret' else 'config'} key: {item['key']}"
            )
        files[check_relative(item["path"])] = (data[item["key"]], item.get("mode", default_mode))
    return files


def downward_files(
    pod: Obj, items: list[Obj], default_mode: int, status: Mapping[str, str], allocatable: Mapping[str, str]
) -> Files:
    """Files of the downward API."""
    files: Files = {}
    for item in items:
        if "fieldRef" in item:
            text = env.pod_field(pod, item["fieldRef"]["fieldPath"], status)
        else:
            text = env.resource_field(pod, {"name": ""}, item["resourceFieldRef"], allocatable)
        files[check_relative(item["path"])] = (text.encode(), item.get("mode", default_mode))
    return files


def write_atomically(directory: str, files: Files, stamp: str, group: int | None = None) -> bool:
    """Put `files` into a volume so that readers see all of the old or all of the new. False when nothing changed."""
    os.makedirs(directory, mode=0o755, exist_ok=True)
    current = os.path.join(directory, "..data")
    if os.path.islink(current) and _read_all(current) == {path: data for path, (data, _) in files.items()}:
        return False
    fresh = f"..{stamp}"
    while os.path.lexists(os.path.join(directory, fresh)):
        fresh += "0"
    for path, (data, mode) in files.items():
        target = os.path.join(directory, fresh, path)
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(fd, mode)
            if owner.give(fd, group):
                os.fchmod(fd, mode | 0o040)
    os.makedirs(os.path.join(directory, fresh), mode=0o755, exist_ok=True)
    old = os.readlink(current) if os.path.islink(current) else None
    os.symlink(fresh, current + "_tmp")
    os.replace(current + "_tmp", current)
    wanted = {path.split("/")[0] for path in files}
    for name in wanted:
        link = os.path.join(directory, name)
        if not os.path.islink(link):
            os.symlink(f"..data/{name}", link)
    for name in os.listdir(directory):
        if not name.startswith("..") and name not in wanted:
            os.unlink(os.path.join(directory, name))
    if old:
        shutil.rmtree(os.path.join(directory, old), ignore_errors=True)
    return True


def _read_all(root: str) -> dict[str, bytes]:
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


def check_host_path(path: str, kind: str) -> None:
    """Make or check a hostPath as its type says. Raises VolumeError in upstream's words."""
    if "\0" in path or ".." in path.split("/"):
        raise VolumeError(f"hostPath {path!r} must not contain '..'")
    if kind == "DirectoryOrCreate":
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.exists(path):
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    elif kind == "" and not os.path.exists(path):
        os.makedirs(path, mode=0o755, exist_ok=True)
    mode = os.stat(path).st_mode if os.path.exists(path) else 0
    for name, test, text in (
        ("Directory", stat.S_ISDIR, "directory"),
        ("File", stat.S_ISREG, "file"),
        ("Socket", stat.S_ISSOCK, "socket"),
        ("CharDevice", stat.S_ISCHR, "character device"),
        ("BlockDevice", stat.S_ISBLK, "block device"),
    ):
        if kind.removesuffix("OrCreate") == name and not test(mode):
            raise VolumeError(f"hostPath type check failed: {path} is not a {text}")


class Volumes:
    """Makes the volumes of pods."""

    def __init__(self, root_dir: str, lookup: Lookup, token: Token, allocatable: Mapping[str, str]) -> None:
        self._root, self._lookup, self._token, self._allocatable = root_dir, lookup, token, allocatable

    def directory(self, uid: str) -> str:
        return os.path.join(self._root, "pods", uid)

    async def prepare(self, pod: Obj, status: Mapping[str, str], stamp: str) -> dict[str, str]:
        """Make or refresh all volumes: {name: path on the host}. Raises VolumeError."""
        os.makedirs(os.path.join(self._root, "pods"), mode=0o711, exist_ok=True)
        os.makedirs(self.directory(pod["metadata"]["uid"]), mode=0o711, exist_ok=True)
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            try:
                found[volume["name"]] = await self._one(pod, volume, status, stamp)
            except (VolumeError, ConfigError, OSError) as problem:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {problem}') from None
        return found

    async def _one(self, pod: Obj, volume: Obj, status: Mapping[str, str], stamp: str) -> str:
        kind = next((key for key in volume if key != "name"), "emptyDir")
        source: Any = volume.get(kind) or {}
        if kind == "hostPath":
            check_host_path(source["path"], source.get("type") or "")
            return str(source["path"])
        if kind == "image":
            return ""  # the runtime has it
        if kind == "persistentVolumeClaim":
            return self._claim(pod, source["claimName"])
        if kind not in PLUGINS:
            raise VolumeError(f"no volume plugin matched (volume type {kind} is not supported here)")
        base = os.path.join(self.directory(pod["metadata"]["uid"]), "volumes", f"kubernetes.io~{PLUGINS[kind]}")
        path = os.path.join(base, volume["name"])
        os.makedirs(base, mode=0o711, exist_ok=True)
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        if kind == "emptyDir":
            if not os.path.isdir(path):
                os.mkdir(path)
                if source.get("medium") == "Memory":
                    limit = source.get("sizeLimit")
                    tmpfs.mount(path, quantity.parse(limit).value() if limit else None)
                owner.give(path, group)
                os.chmod(path, 0o2777 if group is not None else 0o777)
            return path
        mode = source.get("defaultMode", 0o644)
        files: Files = {}
        sources = source.get("sources") or [] if kind == "projected" else [{kind: source}]
        for part in sources:
            files |= await self._files(pod, part, mode, status)
        write_atomically(path, files, stamp, group)
        return path

    async def _files(self, pod: Obj, part: Obj, mode: int, status: Mapping[str, str]) -> Files:
        namespace = pod["metadata"].get("namespace", "default")
        if "serviceAccountToken" in part:
            wanted = part["serviceAccountToken"]
            token = await self._token(pod, wanted.get("audience", ""), int(wanted.get("expirationSeconds", 3600)))
            return {check_relative(wanted["path"]): (token.encode(), 0o644 if mode == 0o644 else mode)}
        if "downwardAPI" in part:
            return downward_files(pod, part["downwardAPI"].get("items") or [], mode, status, self._allocatable)
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if field in part:
                source = part[field]
                name = source.get("name") or source.get("secretName", "")
                return items_of(self._lookup(kind, namespace, name), source, kind, namespace, mode)
        raise VolumeError(f"unsupported projected source {next(iter(part), '')}")

    def _claim(self, pod: Obj, name: str) -> str:
        claim = self._lookup("PersistentVolumeClaim", pod["metadata"]["namespace"], name)
        if claim is None:
            raise VolumeError(f'persistentvolumeclaim "{name}" not found')
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeError(f"PVC {pod['metadata']['namespace']}/{name} is not bound")
        volume = self._lookup("PersistentVolume", "", claim["spec"]["volumeName"])
        spec = (volume or {}).get("spec") or {}
        if "hostPath" in spec:
            check_host_path(spec["hostPath"]["path"], spec["hostPath"].get("type") or "DirectoryOrCreate")
            return str(spec["hostPath"]["path"])
        if "local" in spec:
            return str(spec["local"]["path"])
        raise VolumeError(f'volume type of PersistentVolume "{claim["spec"]["volumeName"]}" is not supported here')

    def remove(self, uid: str) -> None:
        """All of the pod's directory; hostPaths are never touched."""
        tmpfs.unmount_below(os.path.join(self.directory(uid), "volumes", "kubernetes.io~empty-dir"))
        shutil.rmtree(self.directory(uid), ignore_errors=True)


def shown_changed(old: Obj, new: Obj) -> bool:
    """Whether labels or annotations are others now, and the pod sees its own in a volume."""
    shown = [*(new["spec"].get("volumes") or ())]
    shown += [part for volume in shown for part in (volume.get("projected") or {}).get("sources") or ()]
    return any("downwardAPI" in source for source in shown) and any(
        (old["metadata"].get(field) or {}) != (new["metadata"].get(field) or {}) for field in ("labels", "annotations")
    )


def names_used(pod: Obj) -> set[tuple[str, str]]:
    """The objects that a pod's volumes, environment and images need: {(kind, name)}."""
    found: set[tuple[str, str]] = set()

    def add(part: Mapping[str, Any]) -> None:
        if "configMap" in part:
            found.add(("ConfigMap", part["configMap"].get("name", "")))
        if "secret" in part:
            found.add(("Secret", part["secret"].get("secretName") or part["secret"].get("name", "")))

    found |= {("Secret", ref["name"]) for ref in pod["spec"].get("imagePullSecrets") or () if ref.get("name")}
    for volume in pod["spec"].get("volumes") or ():
        add(volume)
        for part in (volume.get("projected") or {}).get("sources") or ():
            add(part)
        if "persistentVolumeClaim" in volume:
            found.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in pod["spec"].get(field) or ():
            for entry in container.get("env") or ():
                source = entry.get("valueFrom") or {}
                if "configMapKeyRef" in source:
                    found.add(("ConfigMap", source["configMapKeyRef"]["name"]))
                if "secretKeyRef" in source:
                    found.add(("Secret", source["secretKeyRef"]["name"]))
            for entry in container.get("envFrom") or ():
                if "configMapRef" in entry:
                    found.add(("ConfigMap", entry["configMapRef"]["name"]))
                if "secretRef" in entry:
                    found.add(("Secret", entry["secretRef"]["name"]))
    return found


def images(pod: Obj) -> dict[str, Obj]:
    """Volumes that are images: {name: {"reference": …, "pullPolicy": …}}."""
    return {volume["name"]: volume["image"] for volume in pod["spec"].get("volumes") or () if "image" in volume}


def mounts(
    container: Obj, paths: Mapping[str, str], values: Mapping[str, str], images: Mapping[str, Obj]
) -> list[cri.Mount]:
    """The container's volumeMounts. Raises ConfigError for a subPath that leads out of its volume."""
    found = []
    for index, entry in enumerate(container.get("volumeMounts") or ()):
        host = paths.get(entry["name"])
        if host is None:
            raise ConfigError(f'cannot find volume "{entry["name"]}" to mount into container "{container["name"]}"')
        sub = entry.get("subPath") or ""
        if entry.get("subPathExpr"):
            sub = expanded(entry["subPathExpr"], values)
        if entry.get("recursiveReadOnly") == "Enabled":
            wanted = f'volume "{entry["name"]}" requested recursive read-only mode'
            said = f"{wanted}, but it is not supported by the runtime"
            raise ConfigError(f"failed to resolve recursive read-only mode: {said}")
        if entry["name"] in images:
            reference = images[entry["name"]].get("reference", "")
            found.append(cri.Mount(entry["mountPath"], "", readonly=True, image=reference, sub_path=sub))
            continue
        if sub:
            host = kept(inside(host, sub), host, f"{entry['name']}/{container['name']}/{index}")
        found.append(cri.Mount(entry["mountPath"], host, bool(entry.get("readOnly"))))
    return found


def expanded(expression: str, values: Mapping[str, str]) -> str:
    """A subPathExpr. Raises ConfigError for a variable that has no value."""
    missing = sorted({name for name in env.names_in(expression) if not values.get(name)})
    if missing:
        raise ConfigError(f"missing value for {', '.join(missing)}")
    return env.expand(expression, values)


def reader(paths: Mapping[str, str]) -> env.Read:
    """Reads files of variables out of volumes, and nothing outside of them."""

    def read(volume: str, path: str) -> str:
        root = os.path.realpath(paths.get(volume) or env.no_files(volume, path))
        target = os.path.realpath(os.path.join(root, path))
        try:
            if not target.startswith(root + os.sep):
                raise FileNotFoundError(path)
            with open(target, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            raise ConfigError("couldn't parse env file") from None

    return read


def kept(target: str, volume: str, place: str) -> str:
    """A file by its subPath stays what it was when the container began, also when the volume's files are exchanged:
    a second name for it, below the pod's `volume-subpaths`. Directories and files of other volumes are as they are."""
    pod, found, _ = os.path.realpath(volume).partition(os.sep + "volumes" + os.sep)
    inner = os.path.relpath(target, os.path.realpath(volume))
    if not found or not inner.startswith("..") or not os.path.isfile(target):
        return target
    name = os.path.join(pod, "volume-subpaths", place)
    os.makedirs(os.path.dirname(name), mode=0o711, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    os.link(target, name)
    return name


def inside(root: str, sub: str) -> str:
    """`sub` below `root`, made when it is missing. A symbolic link is followed only where it stays in the volume."""
    try:
        check_relative(sub)
    except VolumeError:
        raise ConfigError(f"failed to prepare subPath for volumeMount: subPath {sub!r} must be relative") from None
    real_root = os.path.realpath(root)
    target = os.path.realpath(os.path.join(real_root, sub))
    if target != real_root and not target.startswith(real_root + os.sep):
        raise ConfigError(f"failed to prepare subPath for volumeMount: subPath {sub!r} leads out of the volume")
    if not os.path.exists(target):
        os.makedirs(target, mode=0o750)
    return target
