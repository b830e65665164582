"""HTTP to the API server by hand: what goes over the wire is what a lab shows. No client library in between.

http = lab.http
http("GET", "/api/v1/namespaces/default/pods")                 # prints both sides, gives the answer
http("GET", "/api", token="wrong")                             # another identity than the admin's certificate
version = http.list("/api/v1/namespaces/default/configmaps")[1]
for event in http.watch("/api/v1/namespaces/default/configmaps", version): …
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

SHOWN = 14
"""Lines of a body that are printed."""


@dataclass(frozen=True)
class Answer:
    """`json` is the decoded body, None where it is none."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        kept = [
            f"{name}: {self.headers[name]}" for name in ("content-type", "audit-id", "warning") if name in self.headers
        ]
        read = self.json
        lines = (json.dumps(read, indent=1) if read is not None else self.body).splitlines()
        more = [f"… {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
        return "\n".join([f"< {self.status}", *(f"< {line}" for line in kept), *lines[:SHOWN], *more])


class Wire:
    """One API server, by the admin's certificate unless a token is given. `server`: another than the cluster's."""

    def __init__(self, root: Path, server: str = "", dial: Callable[[str, int], socket.socket] | None = None) -> None:
        """`root` is the cluster's state directory; `dial` connects to a server that is not reached from here. Raises
        OSError."""
        self._dial = dial
        read = yaml.safe_load((root / "kubeconfig" / "admin.conf").read_text(encoding="utf-8"))
        self.server = server or read["clusters"][0]["cluster"]["server"]
        self._trusted = root / "pki" / "ca.crt"
        self._certificate = (root / "pki" / "admin.crt", root / "pki" / "admin.key")

    def __call__(
        self, method: str, path: str, body: Any = None, *, token: str = "", as_user: str = "",
        content_type: str = "application/json",
    ) -> Answer:  # fmt: skip
        """Send one request, print what went out and what came back."""
        answer = self.send(method, path, body, token=token, as_user=as_user, content_type=content_type)
        print(f"> {method} {path} HTTP/1.1")
        if token:
            print("> authorization: Bearer " + (token if len(token) < 12 else token[:9] + "…"))
        if as_user:
            print(f"> impersonate-user: {as_user}")
        print(answer)
        return answer

    def send(
        self, method: str, path: str, body: Any = None, *, token: str = "", as_user: str = "",
        content_type: str = "application/json",
    ) -> Answer:  # fmt: skip
        """The same in silence. Raises OSError when nobody answers, or not to the end."""
        connection = self._connect(bool(token))
        try:
            data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
            headers = {"accept": "application/json", "user-agent": "by-hand"}
            headers |= {"content-type": content_type} if data is not None else {}
            headers |= {"authorization": f"Bearer {token}"} if token else {}
            headers |= {"impersonate-user": as_user} if as_user else {}
            connection.request(method, path, data, headers)
            got = connection.getresponse()
            told = {name.lower(): value for name, value in got.getheaders()}
            return Answer(got.status, told, got.read().decode("utf-8", "replace"))
        except http.client.HTTPException as error:
            raise OSError(f"the answer broke off: {error!r}") from error
        finally:
            connection.close()

    def list(self, path: str) -> tuple[list[Any], str]:
        """All objects, and the resourceVersion at which they were so. Raises OSError."""
        answer = self.send("GET", path)
        read = answer.json
        if answer.status != 200 or read is None:
            raise OSError(f"{answer.status}: {answer.body[:200]}")
        return read["items"], read["metadata"]["resourceVersion"]

    def watch(self, path: str, version: str) -> Iterator[dict[str, Any]]:
        """Every event after `version`, for ever; ends when the server ends it. Raises OSError when the line breaks, or
        when the server has no watch to give.

        A version that is too old gives one event {"type": "ERROR", "object": {…, "code": 410}}.
        """
        connection = self._connect(False, timeout=None)
        try:
            sign = "&" if "?" in path else "?"
            connection.request(
                "GET", f"{path}{sign}watch=1&resourceVersion={version}", headers={"user-agent": "by-hand"}
            )
            got = connection.getresponse()
            if got.status != 200:  # it has just begun, say
                raise OSError(f"{got.status}: {got.read(200)!r}")
            while line := got.readline():
                if not line.endswith(b"\n"):
                    raise OSError("the watch broke in the middle of an event")
                yield json.loads(line)
        except http.client.HTTPException as error:
            raise OSError(f"the watch broke: {error!r}") from error
        finally:
            connection.close()

    def _connect(self, anonymous: bool, timeout: float | None = 10.0) -> http.client.HTTPSConnection:
        tls = ssl.create_default_context(cafile=self._trusted)
        if not anonymous:
            tls.load_cert_chain(*self._certificate)
        parts = urlsplit(self.server)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=tls)
        if self._dial is not None:
            found = self._dial(connection.host, connection.port)
            found.settimeout(timeout)
            connection.sock = tls.wrap_socket(found, server_hostname=connection.host)
        return connection
