"""Lay an image out as a directory: a launcher for each of its programs, and its files.

A launcher's first line names the interpreter and the rest is the script itself, so that `ps` shows
`python -I -S /…/usr/sbin/nginx -g daemon off;`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from workshop.kubelet.images.catalogue import StandIn, digest

HERE = Path(__file__).parent


def interpreter() -> str:
    """A Python that any user may run: ours, unless it lives in somebody's private home."""
    own = os.path.realpath(sys.executable)
    folder = Path(own)
    private = any(not parent.stat().st_mode & 0o001 for parent in folder.parents)
    system = "/usr/bin/python3"
    return system if private and os.access(system, os.X_OK) else own


def launcher(script: str) -> str:
    """A script of this folder, by a bare Python; or `-m workshop.etcd`: a component, by the Python that runs us."""
    module = script.removeprefix("-m ")
    if module == script:
        return f"#!{interpreter()} -IS\n" + (HERE / "ready.py").read_text() + (HERE / f"{script}.py").read_text()
    package = str(HERE.parents[2])
    return (
        f"#!{sys.executable}\nimport sys\n\nsys.path.insert(0, {package!r})\n"
        f"from {module}.__main__ import main\n\nsys.exit(main(sys.argv[1:]))\n"
    )


def self_signed() -> tuple[bytes, bytes]:
    """A certificate for localhost that nobody need trust, and its key, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme Co")])
    hosts = [x509.DNSName("example.com"), *(x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1"))]
    begins, ends = datetime(1970, 1, 1, tzinfo=UTC), datetime(2084, 1, 29, tzinfo=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(*form)


def unpack(standin: StandIn, store: str) -> str:
    """The image's root directory below `store`; made when it is not there, or is another version's. Raises OSError."""
    root = Path(store, f"{standin.name}-{digest(standin)[7:19]}")
    texts = {path: launcher(script) for path, script in standin.programs}
    stamp = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()
    complete = root / ".complete"
    if complete.exists() and complete.read_text() == stamp:
        return str(root)
    for path, text in texts.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(target.name + ".new")
        new.write_text(text)
        new.chmod(0o755)
        new.replace(target)  # whoever runs the one of an earlier version keeps it
    for path, text in standin.files:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for path, program in standin.links:
        target = root / path.lstrip("/")
        if os.access(program, os.X_OK) and not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(program)
    if standin.certificate:
        for path, pem in zip(standin.certificate, self_signed(), strict=True):
            (root / path.lstrip("/")).write_bytes(pem)
    if standin.working_dir:
        (root / standin.working_dir.lstrip("/")).mkdir(parents=True, exist_ok=True)
    root.mkdir(parents=True, exist_ok=True)
    complete.write_text(stamp)
    return str(root)
