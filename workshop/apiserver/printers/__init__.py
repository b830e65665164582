"""Tables: what `kubectl get` prints is made here, by the server, and sent as a `meta.k8s.io/v1` Table.

columns.json  the columns of each resource, taken from a real server (tools/build_columns.py)
cells.py      formats that many rows share: ages, selectors, lists that are cut short
pods.py       READY, STATUS and RESTARTS of a pod
workloads.py  deployments, jobs, autoscalers
kinds.py      the other kinds; custom.py  those of custom resources
table.py      the Table itself; NAME and CREATED AT for resources without columns of their own

Upstream: pkg/printers/internalversion/printers.go, apiserver/pkg/registry/rest/table.go.
"""

from workshop.apiserver.printers import kinds, pods, workloads
from workshop.apiserver.printers.table import table

__all__ = ["kinds", "pods", "table", "workloads"]
