"""Defaults: what the API server fills in where a manifest is silent (`kubectl create deployment` sends five fields, and
`kubectl get -o yaml` shows thirty).

As upstream, defaults belong to Go types, not to kinds: a container gets the same ones in a Pod and in a Deployment's
template. `apply` walks an object by its schema and calls, parent before child, what is registered for each type.

walk.py       the walk and the registry of functions, `@defaults_of("core.v1.Container")`
core.py       pods and what is in them, services, volumes, namespaces, nodes
workloads.py  deployments, daemon sets, stateful sets, jobs, cron jobs, autoscalers
others.py     networking, storage, RBAC, admission, flow control, custom resource definitions

Constant defaults that OpenAPI knows are in the tables of types. Left out: what depends on feature gates that are off.
Upstream: pkg/apis/*/v1/defaults.go.
"""

from workshop.api.defaults import core, others, workloads
from workshop.api.defaults.walk import apply, apply_kind, fresh_status

__all__ = ["apply", "apply_kind", "core", "fresh_status", "others", "workloads"]
