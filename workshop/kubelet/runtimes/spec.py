"""From a container's configuration to what the shim runs (its spec is described in `shim/child.py`)."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from workshop.kubelet import cri
from workshop.kubelet.images import catalogue
from workshop.kubelet.images.catalogue import StandIn
from workshop.kubelet.owner import may_be_anyone

# the capabilities that containerd gives to an unprivileged container
DEFAULT_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "NET_RAW",
    "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP",
)  # fmt: skip


def unprivileged_port_start() -> int:
    """The first port that anybody may bind."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def mark() -> dict[str, str]:
    """What the supervisor put into our environment, so that `down` finds each process of the cluster again."""
    return {name: os.environ[name] for name in ("WORKSHOP_STATE",) if name in os.environ}


def may_bind_low_ports(address: str) -> bool:
    """Tried, not guessed: root may lack the capability, and others may have it."""
    with socket.socket() as sock:
        try:
            sock.bind((address, unprivileged_port_start() - 1))
        except PermissionError:
            return False
        except OSError:
            return True
    return True


def user(security: cri.SecurityContext, *, namespaced: bool) -> cri.User:
    """Who the container's process will be: root or whom the pod names, else whoever we are."""
    if not (namespaced and may_be_anyone()):
        return cri.User(os.getuid(), os.getgid(), tuple(dict.fromkeys((os.getgid(), *os.getgroups()))))
    gid = security.run_as_group or 0
    return cri.User(security.run_as_user or 0, gid, tuple(dict.fromkeys((gid, *security.supplemental_groups))))


def write_resolver(directory: str, config: cri.PodSandboxConfig) -> None:
    """The files of a pod's own /etc."""
    lines = [f"search {' '.join(config.searches)}\n"] if config.searches else []
    lines += [f"nameserver {server}\n" for server in config.nameservers]
    lines += [f"options {' '.join(config.dns_options)}\n"] if config.dns_options else []
    Path(directory, "resolv.conf").write_text("".join(lines))
    Path(directory, "hostname").write_text(config.hostname + "\n")


def container_spec(
    identity: str,
    config: cri.ContainerConfig,
    sandbox: cri.PodSandboxConfig,
    status: cri.PodSandboxStatus,
    standin: StandIn,
    *,
    image_root: str,
    folder: str,
    namespaced: bool,
    hide: list[str],
    port_shift: int,
    log_path: str,
    target_pid: int = 0,
) -> dict[str, Any]:
    """The spec. Raises ValueError for a mount path that leads out of the container; makes the directories it names."""
    env = {"PATH": catalogue.PATH, "HOSTNAME": sandbox.hostname, **dict(standin.env), **dict(config.env)}
    env |= {"WORKSHOP_CONTAINER": identity, "WORKSHOP_POD_IP": status.ip, **mark()}
    if config.tty:
        env.setdefault("TERM", "xterm")
    args = list(catalogue.arguments(standin, config.command, config.args))
    if not args:
        raise ValueError("no command specified")
    made: dict[str, Any] = {
        "args": args,
        "tty": config.tty,
        "stdin": config.stdin,
        "stdin_once": config.stdin_once,
        "log_path": log_path,
        "oom_score_adj": config.resources.oom_score_adj,
        "tells": catalogue.tells(standin, args[0]),
    }
    for mount in config.mounts:
        _check(mount.container_path)
    if namespaced:
        env.setdefault("HOME", "/root" if not (config.security.run_as_user and may_be_anyone()) else "/")
        if not may_be_anyone():  # `kubectl cp` runs tar as root, which there cannot give a file to whom it belonged
            env.setdefault("TAR_OPTIONS", "--no-same-owner")
        made |= _isolated(config, standin, sandbox, image_root, folder, hide)
        if target_pid:
            made["pid_namespace"] = target_pid
    else:
        made |= _plain(config, env, image_root, folder, port_shift)
        made["args"] = resolve_plain(made, args)
    made["env"] = env
    return made


def _check(path: str) -> None:
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise ValueError(f"invalid mount path {path!r}: must be absolute and must not contain '..'")


def _isolated(
    config: cri.ContainerConfig,
    standin: StandIn,
    sandbox: cri.PodSandboxConfig,
    image_root: str,
    folder: str,
    hide: list[str],
) -> dict[str, Any]:
    security = config.security
    layer = os.path.join(folder, "layer")
    # an overlay takes no lower layer that lies inside another one, so the few files of an image are copied
    shutil.copytree(image_root, f"{layer}/upper", symlinks=True, dirs_exist_ok=True)
    mounts = [{"source": m.host_path, "destination": m.container_path, "readonly": m.readonly} for m in config.mounts]
    taken = {mount["destination"] for mount in mounts}
    sandbox_directory = os.path.dirname(os.path.dirname(folder))
    for name in ("resolv.conf", "hostname"):
        if f"/etc/{name}" not in taken and (name == "hostname" or sandbox.nameservers):
            mounts.append({"source": f"{sandbox_directory}/{name}", "destination": f"/etc/{name}", "readonly": False})
    mounts.sort(key=lambda mount: str(mount["destination"]).count("/"))
    kept: list[str] | None = None
    if not security.privileged:
        names = [name.removeprefix("CAP_") for name in security.add_capabilities]
        dropped = {name.removeprefix("CAP_") for name in security.drop_capabilities}
        base = () if "ALL" in dropped else DEFAULT_CAPABILITIES
        kept = None if "ALL" in names else [name for name in (*base, *names) if name not in dropped or name in names]
    return {
        "cwd": config.working_dir or standin.working_dir or "/",
        "rootfs": {
            "upper": f"{layer}/upper",
            "work": f"{layer}/work",
            "merged": f"{layer}/merged",
            "bind": _other_file_systems(),
            "hide": hide,
        },
        "mounts": mounts,
        "sysctls": dict(sandbox.sysctls),
        "pid_namespace": not sandbox.host_pid,
        "capabilities": kept,
        **_identity(security),
        "no_new_privs": security.no_new_privs,
        "readonly_rootfs": security.readonly_rootfs,
    }


def _identity(security: cri.SecurityContext) -> dict[str, Any]:
    """Who the process becomes; nothing where there is only one user to be (an event has said so)."""
    if not may_be_anyone():
        return {}
    group = security.run_as_group if security.run_as_group is not None else (0 if security.run_as_user else None)
    return {"user": security.run_as_user, "group": group, "groups": list(security.supplemental_groups)}


def _other_file_systems() -> list[str]:
    """Mounts of the host that programs may need and that an overlay of `/` does not show."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields = line.split()
            point, kind = fields[4], fields[fields.index("-") + 1]
            if kind in ("ext4", "xfs", "btrfs", "overlay", "zfs", "f2fs", "9p", "virtiofs") and point.startswith(
                ("/usr", "/opt", "/lib", "/bin", "/home", "/root", "/srv", "/nix", "/work")
            ):
                found.append(point)
    return found


def _plain(
    config: cri.ContainerConfig, env: dict[str, str], image_root: str, folder: str, port_shift: int
) -> dict[str, Any]:
    root = os.path.join(folder, "rootfs")
    os.makedirs(root, mode=0o700, exist_ok=True)
    for mount in sorted(config.mounts, key=lambda m: m.container_path.count("/")):
        target = os.path.join(root, mount.container_path.lstrip("/"))
        if os.path.realpath(os.path.dirname(target)) != os.path.dirname(target) or os.path.lexists(target):
            continue  # inside another volume, or given twice: the first one is what is seen
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        os.symlink(mount.host_path, target)
    bins = [f"{image_root}{folder}" for folder in catalogue.PATH.split(":") if os.path.isdir(f"{image_root}{folder}")]
    env["PATH"] = ":".join([*bins, env["PATH"]])
    env.setdefault("HOME", root)
    env |= {"WORKSHOP_ROOTFS": root, "WORKSHOP_IMAGE": image_root, "WORKSHOP_PORT_SHIFT": str(port_shift)}
    wanted = os.path.join(root, config.working_dir.lstrip("/")) if config.working_dir else root
    if ".." in config.working_dir.split("/"):
        raise ValueError(f"invalid working directory {config.working_dir!r}")
    os.makedirs(wanted, mode=0o700, exist_ok=True)
    no_new_privs = config.security.no_new_privs
    return {
        "cwd": wanted,
        "pid_namespace": False,
        "image_root": image_root,
        "mounts": [],
        "no_new_privs": no_new_privs,
    }


def resolve_plain(made: dict[str, Any], args: list[str]) -> list[str]:
    """In mode plain a program of the image that is named by an absolute path is found in the image's directory."""
    image = made.get("image_root")
    if image and args and args[0].startswith("/") and os.path.exists(image + args[0]):
        return [image + args[0], *args[1:]]
    return args


def exec_spec(made: dict[str, Any], command: list[str], pid: int, *, stdin: bool, tty: bool) -> dict[str, Any]:
    """One more process in a container: the same surroundings, entered by the container's pid."""
    kept = ("env", "cwd", "user", "group", "groups", "capabilities", "no_new_privs", "cgroups")
    spec = {key: made[key] for key in kept if key in made}
    spec |= {"args": resolve_plain(made, command), "stdin": stdin, "tty": tty}
    if tty:
        spec["env"] = {"TERM": "xterm", **spec["env"]}
    if made.get("rootfs"):
        spec["join"] = pid
    return spec


def shown_command(folder: Path) -> str:
    """The first word of what the container runs, for messages."""
    try:
        return str(json.loads((folder / "spec.json").read_text())["args"][0])
    except (OSError, ValueError, KeyError, IndexError):
        return ""
