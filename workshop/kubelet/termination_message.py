"""What a container says as its last word: the file of `terminationMessagePath`, or the end of its log.

Upstream: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, `getTerminationMessage`.
"""

from __future__ import annotations

import os
from dataclasses import replace

from workshop.kubelet import configs, cri
from workshop.kubelet.pods import Obj
from workshop.kubelet.volumes import Volumes

OF_FILE, OF_LOG, LINES = 4096, 2048, 80


def message_file(volumes: Volumes, pod: Obj, name: str, attempt: int) -> str:
    """Where a container's attempt leaves its message."""
    return os.path.join(volumes.directory(pod["metadata"]["uid"]), "containers", name, str(attempt))


def with_message(volumes: Volumes, pod: Obj, container: cri.ContainerStatus) -> cri.ContainerStatus:
    """The same, with the message of a container that has ended. Raises OSError."""
    if container.state != cri.EXITED or container.message:
        return container
    path = message_file(volumes, pod, container.name, container.attempt)
    text = ""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - OF_FILE))
            text = file.read(OF_FILE).decode(errors="replace")
    fallback = container.annotations.get(configs.MESSAGE_POLICY) == "FallbackToLogsOnError"
    if not text and fallback and container.exit_code and os.path.isfile(container.log_path):
        text = _end_of_log(container.log_path)
    return replace(container, message=text)


def _end_of_log(path: str) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 4 * OF_LOG))
        lines = file.read().decode(errors="replace").splitlines()[-LINES:]
    return "".join(line.split(" ", 3)[3] + "\n" for line in lines if line.count(" ") >= 3)[-OF_LOG:]
