"""What every namespace holds before a pod may start there: a `default` ServiceAccount, and the root certificate.

Upstream: `pkg/controller/serviceaccount/serviceaccounts_controller.go` and
`pkg/controller/certificates/rootcacertpublisher/publisher.go`.
"""

from __future__ import annotations

from pathlib import Path

from workshop.api import meta
from workshop.api.errors import ApiError, is_already_exists, is_terminating_namespace
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from .base import Context

SERVICE_ACCOUNTS = resource("serviceaccounts")
CONFIG_MAPS = resource("configmaps")
ROOT_CA = "kube-root-ca.crt"
ROOT_CA_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class ServiceAccountController:
    """Makes `default` again whenever it is missing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._namespaces = context.informer("namespaces")
        self._accounts = context.informer("serviceaccounts")
        self._namespaces.add_handler(self._seen, lambda old, new: self._seen(new))
        self._accounts.add_handler(on_delete=lambda sa: self._queue.add(Key("", meta.namespace(sa))))

    def _seen(self, ns: Obj) -> None:
        self._queue.add(key_of(ns))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync).run()

    async def sync(self, key: Key) -> None:
        ns = self._namespaces.store.get(key)
        if ns is None or (ns.get("status") or {}).get("phase", "Active") != "Active":
            return
        if Key(key.name, "default") in self._accounts.store:
            return
        try:
            await self._client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, key.name)
        except ApiError as error:
            if not (is_already_exists(error) or is_terminating_namespace(error)):
                raise


class RootCACertificatePublisher:
    """Writes ConfigMap kube-root-ca.crt into each namespace, and writes it again when somebody changes it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        file = context.options.root_ca_file
        self._data = {"ca.crt": Path(file).read_text()} if file else None
        self._namespaces = context.informer("namespaces")
        self._maps = context.informers.informer(CONFIG_MAPS, field_selector=f"metadata.name={ROOT_CA}")
        self._namespaces.add_handler(self._seen, lambda old, new: self._seen(new))
        self._maps.add_handler(None, lambda old, new: self._changed(new), self._changed)

    def _seen(self, ns: Obj) -> None:
        self._queue.add(key_of(ns))

    def _changed(self, config_map: Obj) -> None:
        self._queue.add(Key("", meta.namespace(config_map)))

    async def run(self) -> None:
        if self._data is not None:
            await self._context.controller(self._queue, self.sync).run()

    async def sync(self, key: Key) -> None:
        ns = self._namespaces.store.get(key)
        if ns is None or (ns.get("status") or {}).get("phase", "Active") != "Active":
            return
        found = self._maps.store.get(Key(key.name, ROOT_CA))
        annotations = {"kubernetes.io/description": ROOT_CA_DESCRIPTION}
        try:
            if found is None:
                metadata = {"name": ROOT_CA, "annotations": annotations}
                await self._client.create(CONFIG_MAPS, {"metadata": metadata, "data": self._data}, key.name)
            elif found.get("data") != self._data or not annotations.items() <= meta.annotations(found).items():
                metadata = {**found["metadata"], "annotations": {**meta.annotations(found), **annotations}}
                await self._client.update(CONFIG_MAPS, {**found, "metadata": metadata, "data": self._data})
        except ApiError as error:
            if not (is_already_exists(error) or is_terminating_namespace(error)):
                raise
