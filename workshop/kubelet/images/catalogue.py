"""Which images there are, and what they start. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class StandIn:
    """An image's configuration, in Docker's words.

    `programs`: path in the image -> script of this package, or `-m MODULE` for a component of the workshop.
    `links`: path in the image -> a program of the host; the first that the host has.
    `certificate`: paths in the image of a certificate for localhost and its key, which are made when it is unpacked.
    """

    name: str
    version: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    ports: tuple[int, ...] = ()
    stop_signal: str = "SIGTERM"
    programs: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    certificate: tuple[str, str] | None = None
    size: int = field(default=1_000_000)
    aliases: tuple[str, ...] = ()


_WELCOME = """<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body>
<h1>Welcome to nginx!</h1>
<p>This is the workshop's stand-in for nginx, running as a real process in a pod.</p>
</body>
</html>
"""
_WORKS = "<html><body><h1>It works!</h1></body></html>\n"
#: Debian's sh drops environment variables like `data-1`, which busybox' hands on.
_SHELL = (("/usr/bin/sh", "/usr/bin/bash"),)
_APPLETS = (
    ("/usr/bin/wget", "wget"),
    ("/usr/bin/nslookup", "nslookup"),
    ("/usr/bin/nc", "nc"),
    ("/usr/bin/sysctl", "sysctl"),
)
_AGNHOST = tuple(
    (f"/usr/lib/agnhost/{name}", name.removesuffix(".py")) for name in ("serving.py", "servers", "webhooks")
)

IMAGES: tuple[StandIn, ...] = (
    StandIn("pause", "3.10", ("/pause",), programs=(("/pause", "pause"),), size=320_000),
    StandIn(
        "nginx",
        "1.29",
        ("/docker-entrypoint.sh",),
        ("nginx", "-g", "daemon off;"),
        (("NGINX_VERSION", "1.29.0"),),
        ports=(80,),
        stop_signal="SIGQUIT",
        programs=(("/usr/sbin/nginx", "nginx"), ("/docker-entrypoint.sh", "entrypoint")),
        files=(("/usr/share/nginx/html/index.html", _WELCOME),),
        size=72_000_000,
    ),
    StandIn(
        "httpd",
        "2.4",
        (),
        ("httpd-foreground",),
        (("HTTPD_PREFIX", "/usr/local/apache2"),),
        "/usr/local/apache2",
        (80,),
        "SIGWINCH",
        (("/usr/local/bin/httpd-foreground", "nginx"), ("/usr/local/apache2/bin/httpd", "nginx")),
        (("/usr/local/apache2/htdocs/index.html", _WORKS),),
        size=58_000_000,
    ),
    StandIn("busybox", "1.37", (), ("sh",), programs=_APPLETS, links=_SHELL, size=2_160_000),
    StandIn("alpine", "3.22", (), ("/bin/sh",), programs=_APPLETS, links=_SHELL, size=3_800_000),
    StandIn("debian", "12", (), ("bash",), size=48_000_000, aliases=("ubuntu", "glibc-dns-testing")),
    StandIn(
        "redis",
        "8.2",
        ("docker-entrypoint.sh",),
        ("redis-server",),
        working_dir="/data",
        ports=(6379,),
        programs=(
            ("/usr/local/bin/redis-server", "redis"),
            ("/usr/local/bin/redis-cli", "redis"),
            ("/usr/local/bin/docker-entrypoint.sh", "entrypoint"),
        ),
        size=52_000_000,
    ),
    StandIn("python", "3", (), ("python3",), (("PYTHONUNBUFFERED", "1"),), size=44_000_000),
    StandIn("curl", "8", ("/entrypoint.sh",), ("curl",), programs=(("/entrypoint.sh", "entrypoint"),), size=9_000_000),
    StandIn("crasher", "1", ("/crasher",), programs=(("/crasher", "crasher"),)),
    StandIn("memory-eater", "1", ("/memory-eater",), programs=(("/memory-eater", "eater"),), aliases=("stress",)),
    StandIn(
        "agnhost",
        "2.63",
        ("/agnhost",),
        ("pause",),
        ports=(80, 8080, 8081, 9376, 5000),
        programs=(("/agnhost", "agnhost"), ("/agnhost-2", "agnhost"), *_AGNHOST, *_APPLETS),
        certificate=("/localhost.crt", "/localhost.key"),
        size=50_000_000,
    ),
    *(
        StandIn(
            name,
            "1.8",
            ("/agnhost",),
            ("test-webserver",),
            ports=(80,),
            programs=(("/agnhost", "agnhost"), *_AGNHOST),
            files=(
                ("/data.json", f'{{\n  "image": "{name}.jpg"\n}}\n'),
                (f"/{name}.jpg", f"(a {name})\n"),
                ("/etc/os-release", 'NAME="Alpine Linux"\nID=alpine\n'),
            ),
            size=50_000_000,
        )
        for name in ("nautilus", "kitten")
    ),
    StandIn(
        "sample-apiserver",
        "1.29",
        ("/sample-apiserver",),
        ports=(443,),
        programs=(("/sample-apiserver", "sample_apiserver"), _AGNHOST[0]),
    ),
    StandIn("etcd", "3.6", (), ("etcd",), ports=(2379, 2380), programs=(("/usr/local/bin/etcd", "-m workshop.etcd"),)),
    StandIn("nonewprivs", "1.4", (), ("nnp",), programs=(("/usr/local/bin/nnp", "nnp"),)),
)


TELLING = frozenset({"agnhost", "entrypoint", "nginx", "pause", "redis", "sample_apiserver"})
"""Scripts that tell when they listen and handle signals; until then their container has not started.

An interpreter takes longer to begin than what it stands for: connections would be refused meanwhile, and a signal would
be lost, as for every first process of a namespace that has no handler.
"""


def tells(standin: StandIn, program: str) -> bool:
    """Whether `program`, as a container names it, is one of those."""
    found = (script for path, script in standin.programs if program in (path, path.rpartition("/")[2]))
    return any(script in TELLING for script in found)


class InvalidImageName(ValueError):
    """Not a reference at all (reason InvalidImageName)."""


_REFERENCE = re.compile(
    r"^(?:(?:[a-zA-Z0-9.-]+(?::\d+)?)/)?(?:[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*/)*"
    r"(?P<last>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)(?::(?P<tag>\w[\w.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?$"
)


def parse(image: str) -> tuple[str, str]:
    """The last part of the name, and the tag (`latest` when there is none). Raises InvalidImageName."""
    match = _REFERENCE.match(image)
    if match is None:
        raise InvalidImageName(
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            "invalid reference format"
        )
    return match["last"], match["tag"] or "latest"


def find(image: str) -> StandIn | None:
    """The stand-in for a reference, or None when there is none."""
    name, _ = parse(image)
    for known in IMAGES:
        if name == known.name or name in known.aliases:
            return known
    return None


def canonical(image: str) -> str:
    """With registry and tag, as a runtime reports it: `docker.io/library/nginx:latest`."""
    _, tag = parse(image)
    head = image.split("@")[0]
    first, slash, _ = head.partition("/")
    if not slash:
        head = f"docker.io/library/{head}"
    elif "." not in first and ":" not in first and first != "localhost":
        head = f"docker.io/{head}"
    return head if ":" in head.rpartition("/")[2] else f"{head}:{tag}"


def default_pull_policy(image: str) -> str:
    """Always for `latest` or no tag, else IfNotPresent (pkg/apis/core/v1/defaults.go)."""
    return "Always" if parse(image)[1] == "latest" and "@" not in image else "IfNotPresent"


def digest(standin: StandIn) -> str:
    """A stable name of the content, in the form of a digest."""
    return "sha256:" + hashlib.sha256(repr(standin).encode()).hexdigest()


def not_found(image: str) -> str:
    """What an unknown image is answered with."""
    name = canonical(image)
    listing = ", ".join(known.name for known in IMAGES)
    return (
        f'failed to pull and unpack image "{name}": failed to resolve image: {name}: not found: '
        f"this cluster has stand-in images only: {listing}"
    )


def arguments(standin: StandIn, command: tuple[str, ...], args: tuple[str, ...]) -> tuple[str, ...]:
    """What runs: `command` replaces ENTRYPOINT and CMD, `args` replaces CMD.

    >>> arguments(find("nginx"), (), ("nginx", "-t"))
    ('/docker-entrypoint.sh', 'nginx', '-t')
    """
    if command:
        return command + args
    return standin.entrypoint + (args or standin.cmd)
