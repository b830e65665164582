"""How long etcd takes, by operation and resource. Upstream: apiserver/pkg/storage/etcd3/metrics/metrics.go."""

from __future__ import annotations

from workshop.api.resources import all_resources

from .metrics import Metrics

BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
_BUILT_IN = {r.storage_key(): (r.group, r.plural) for r in all_resources() if r.persisted}


class EtcdTimes:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._labels: dict[tuple[str, str], str] = {}

    def observe(self, operation: str, key: str, seconds: float, well: bool) -> None:
        prefix = _prefix(key)
        labels = self._labels.get((operation, prefix))
        if labels is None:
            group, plural = _BUILT_IN.get(prefix, ("", prefix.strip("/").rpartition("/")[2]))
            labels = f'group="{group}",operation="{operation}",resource="{plural}"'
            self._labels[operation, prefix] = labels
        self._metrics.observe("etcd_request_duration_seconds", seconds, labels, BUCKETS)
        self._metrics.count("etcd_requests_total", labels)
        if not well:
            self._metrics.count("etcd_request_errors_total", labels)


def _prefix(key: str) -> str:
    """`/registry/pods/` of `/registry/pods/default/web`; of custom resources and Services two parts."""
    parts = key.split("/", 4)
    for length in (3, 4):
        prefix = "/".join(parts[:length]) + "/"
        if prefix in _BUILT_IN:
            return prefix
    return "/".join(parts[:4]) + "/" if len(parts) > 3 and "." in parts[2] else "/".join(parts[:3]) + "/"
