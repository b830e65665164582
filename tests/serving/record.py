"""Asks a real API server and writes down what it says: `python -m tests.serving.record KUBECONFIG`."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from . import cases
from .dialogue import Server

FACTS = Path(__file__).parent / "facts.yaml"
HEADER = """\
# What kube-apiserver {version} says to the requests of cases.py, an answer a line, and whether the connection goes on.
# Upstream: Go's net/http below k8s.io/apiserver. Made by `python -m tests.serving.record`.
"""


def server_of(kubeconfig: str) -> Server:
    """With a client certificate, which the file names by paths."""
    config = yaml.safe_load(Path(kubeconfig).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    tls.load_cert_chain(user["client-certificate"], user["client-key"])
    tls.check_hostname = False
    url = urlsplit(cluster["server"])
    return Server(url.hostname or "", url.port or 443, tls)


async def ask(server: Server) -> dict[str, list[str]]:
    return {case.name: cases.comparable(await case.asked(server)) for case in cases.every()}


if __name__ == "__main__":
    said = asyncio.run(ask(server_of(sys.argv[1])))
    FACTS.write_text(HEADER.format(version="1.36.2") + yaml.safe_dump(said, sort_keys=False, width=1000))
