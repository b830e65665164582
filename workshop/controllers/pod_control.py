"""Creating and deleting pods for an owner, with the events that tell of it. Upstream: `RealPodControl`."""

from __future__ import annotations

from workshop.api import meta
from workshop.api.errors import ApiError, is_terminating_namespace
from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.client.events import Recorder
from workshop.client.rest import Client

PODS = resource("pods")


class PodControl:
    def __init__(self, client: Client, recorder: Recorder) -> None:
        self._client = client
        self._recorder = recorder

    async def create(self, owner: Obj, pod: Obj) -> Obj:
        try:
            created = await self._client.create(PODS, pod, meta.namespace(owner))
        except ApiError as error:
            if not is_terminating_namespace(error):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(created)}")
        return created

    async def delete(self, owner: Obj, pod: Obj) -> None:
        """A pod that is already gone raises 404, and tells no event."""
        try:
            await self._client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except ApiError as error:
            if error.code != 404:
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
