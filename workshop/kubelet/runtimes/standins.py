"""The node's images: which stand-ins of the catalogue have been pulled, unpacked below one directory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

from workshop.kubelet import cri
from workshop.kubelet.cri import NotFound
from workshop.kubelet.images import catalogue
from workshop.kubelet.images.unpack import unpack
from workshop.kubelet.runtimes.files import write


class StandIns:
    """CRI's ImageService over the catalogue."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pulled: dict[str, str] = {}

    def load(self) -> None:
        """Read what an earlier kubelet pulled."""
        os.makedirs(self._folder, mode=0o711, exist_ok=True)
        with contextlib.suppress(OSError, ValueError):
            self._pulled = json.loads(Path(self._folder, "pulled.json").read_text())

    async def pull(self, image: str) -> str:
        standin = catalogue.find(image)
        if standin is None:
            raise NotFound(catalogue.not_found(image))
        await asyncio.to_thread(unpack, standin, self._folder)
        name = catalogue.canonical(image)
        if name not in self._pulled:
            self._pulled[name] = standin.name
            write(os.path.join(self._folder, "pulled.json"), self._pulled)
        return image_ref(image, standin)

    async def list(self) -> list[cri.Image]:
        tags: dict[str, list[str]] = {}
        for name, standin_name in self._pulled.items():
            tags.setdefault(standin_name, []).append(name)
        return [
            cri.Image(
                catalogue.digest(standin),
                tuple(sorted(tags[standin.name])),
                tuple(sorted({image_ref(tag, standin) for tag in tags[standin.name]})),
                standin.size,
            )
            for standin in catalogue.IMAGES
            if standin.name in tags
        ]

    async def status(self, image: str) -> cri.Image | None:
        standin = catalogue.find(image)
        name = catalogue.canonical(image)
        if standin is None or name not in self._pulled:
            return None
        return cri.Image(catalogue.digest(standin), (name,), (image_ref(name, standin),), standin.size)

    async def remove(self, image: str) -> None:
        if self._pulled.pop(catalogue.canonical(image), None):
            write(os.path.join(self._folder, "pulled.json"), self._pulled)


def placed(mount: cri.Mount, folder: str) -> cri.Mount:
    """A mount of an image, as one of the directory that it is unpacked in. Raises ValueError for what is not in it."""
    standin = catalogue.find(mount.image)
    if standin is None:
        raise NotFound(catalogue.not_found(mount.image))
    root = os.path.realpath(unpack(standin, folder))
    path = os.path.realpath(os.path.join(root, mount.sub_path))
    if os.path.commonpath((root, path)) != root or not os.path.exists(path):
        raise ValueError(f"mount point {mount.sub_path!r} does not exist in image {mount.image!r}")
    return replace(mount, host_path=path)


def image_ref(image: str, standin: catalogue.StandIn) -> str:
    """`docker.io/library/nginx@sha256:…`."""
    return f"{catalogue.canonical(image).rpartition(':')[0]}@{catalogue.digest(standin)}"
