"""Images and wheels of this machine's own, where nothing can be pulled: a base out of Debian's files, wheels out of the
environment that runs the tests.

`base(wheels)` is a root file system with one Python, a shell and a few tools, and the libraries that they load; a tar
for `docker import`. `wheelhouse(folder, names)` packs installed distributions as wheels again, with what they need.
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "sh", "cat", "ls", "cp", "mv", "rm", "mkdir", "chown", "chmod", "env", "id", "sleep", "ps", "grep",
         "sed", "head", "tail", "test", "true", "kill", "ip", "tar", "uname", "stat", "touch", "tee", "wc")  # fmt: skip
LEFT_OUT = re.compile(
    r"(^|/)(test|tests|idlelib|tkinter|turtledemo|lib2to3|__pycache__|site-packages|dist-packages)(/|$)|\.a$"
)
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
}


def libraries(paths: list[str]) -> set[str]:
    """The shared libraries that programs and modules load, by ldd."""
    told = subprocess.run(["ldd", *paths], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(?:=> )?(/\S+\.so\S*) \(0x", told))


def base(wheels: Path) -> bytes:
    """The root file system, with the wheels of a folder in /wheels.

    Files keep their paths; /usr/local/bin/python3 is the Python that runs this.
    """
    prefix, version = sys.base_prefix, f"python{sys.version_info[0]}.{sys.version_info[1]}"
    stdlib = Path(os.path.realpath(os.__file__)).parent
    python = os.path.realpath(f"{prefix}/bin/{version}")
    wanted: dict[str, str] = {}
    for path in sorted(stdlib.rglob("*")):
        name = path.relative_to(stdlib).as_posix()
        if path.is_file() and not LEFT_OUT.search(name):
            wanted[str(stdlib / name)] = str(path)
    debians = Path("/usr/share/python-wheels")  # where Debian's ensurepip looks
    wanted |= {str(path): str(path) for path in debians.glob("*.whl")}
    programs = [found for name in TOOLS if (found := shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin"))]
    modules = [path for path in wanted if ".so" in os.path.basename(path)]
    # what the wheels' own modules may load of the C library and the compilers
    family = re.compile(
        r"/(lib(c|m|dl|rt|util|pthread|resolv|nss_files|nss_dns|gcc_s|stdc\+\+|z|atomic)|ld-linux.*)\.so\.\d+$"
    )
    places = [Path(place) for place in ("/usr/lib", "/lib64", "/usr/lib64")]
    shared = [str(path) for place in places for path in place.glob("**/*.so.*")]
    loaded = [path for path in shared if family.search(path)]
    for path in [python, *programs, *loaded, *libraries([python, *programs, *modules])]:
        wanted[path] = os.path.realpath(path)
    wanted |= {f"/wheels/{path.name}": str(path) for path in wheels.glob("*.whl")}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        # Debian keeps /bin, /sbin and /lib* as links into /usr
        for link in ("bin", "sbin", "lib", "lib64"):
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{link}"
            tar.addfile(entry)
        for folder, mode in (("tmp", 0o1777), ("root", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755),
                             ("home", 0o755), ("var/lib", 0o755), ("usr/bin", 0o755), ("run", 0o755)):  # fmt: skip
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, text in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
        taken: set[str] = set()
        for place, source in wanted.items():
            name = re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", place).lstrip("/")
            if name in taken:
                continue
            taken.add(name)
            entry = tar.gettarinfo(source, name)
            entry.uid = entry.gid = 0
            if entry.islnk():  # tar saw this inode before, under another name
                entry.type = tarfile.REGTYPE
                entry.size = os.path.getsize(source)
            with open(source, "rb") as file:
                tar.addfile(entry, file)
        for name in ("python3", "python"):
            entry = tarfile.TarInfo(f"usr/local/bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, f"{prefix}/bin/{version}"
            tar.addfile(entry)
        if python != f"{prefix}/bin/{version}":
            entry = tarfile.TarInfo(f"{prefix}/bin/{version}".lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, python
            tar.addfile(entry)
    return made.getvalue()


def requirements() -> list[str]:
    """What the project depends on, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [_name(text) for text in project["dependencies"]]


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def wheelhouse(folder: Path, names: list[str]) -> dict[str, str]:
    """Wheels of `names` and of all that they need, as installed here: {name: version}."""
    folder.mkdir(parents=True, exist_ok=True)
    queue, done = [Requirement(name) for name in names], set()
    packed: dict[str, str] = {}
    while queue:
        wanted = queue.pop()
        name, extras = _name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        if name not in packed:
            packed[name] = distribution.version
            pack(distribution, folder)
        for text in distribution.requires or []:
            needed = Requirement(text)
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                queue.append(needed)
    return packed


def pack(distribution: importlib.metadata.Distribution, folder: Path) -> Path:
    """One wheel. Programs come again from the entry points; what lies beside site-packages goes into `.data/data`."""
    told = distribution.read_text("WHEEL") or ""
    tags = re.findall(r"^Tag: (\S+)$", told, re.MULTILINE)
    python, abi, system = next((tag for tag in tags if not tag.startswith("py2-")), tags[0]).split("-")
    version = distribution.version
    stem = f"{re.sub(r'[-_.]+', '_', distribution.metadata['Name'])}-{version}"
    path = folder / f"{stem}-{python}-{abi}-{system}.whl"
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        for file in distribution.files or []:
            parts, base = file.parts, file.name
            if "__pycache__" in parts or base in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                continue
            name = file.as_posix()
            if parts[0] == "..":
                outside = [part for part in parts if part != ".."]
                if outside[0] == "bin":
                    continue
                name = f"{stem}.data/data/{'/'.join(outside)}"
            elif ".dist-info" in parts[0]:
                name = f"{stem}.dist-info/{'/'.join(parts[1:])}"
            wheel.write(str(distribution.locate_file(file)), name)
            record.append(f"{name},,")
        wheel.writestr(f"{stem}.dist-info/RECORD", "\n".join([*record, f"{stem}.dist-info/RECORD,,", ""]))
    return path
