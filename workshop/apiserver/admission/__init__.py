"""Admission: the last word on a write, and its first correction.

Read in this order:

- `plugins.py`           all plugins in upstream's order; the chain
- `plugin.py`            what plugins share
- `namespace_lifecycle.py`, `service_account.py`, `priority.py`: short ones that each write meets
- `node_restriction.py`  what a kubelet may write
- `limit_ranger.py`      amounts per container and per pod
- `pod_security.py`      levels by namespace labels, over `pod_security_checks.py`; `configuration.py`: their defaults
- `resource_quota.py`    charging a write, over `quota_usage.py`: what an object uses
- `webhooks.py`, `policies.py`  what the cluster itself wants asked, over `selecting.py` (which requests), `asked.py`
  and `expressions.py` (what CEL sees of a request)
- the rest in any order: defaults and labels (`default_ingress_class.py`, `default_toleration_seconds.py`, `storage.py`,
  `runtime_class.py`, `node_taint.py`, `pod_topology_labels.py`), `pod_resize.py`, rights
  (`certificates.py`, `rbac_escalation.py`), and `learner.py`, a rule of your own

Left out: the plugins that are off by default.
Upstream: `plugin/pkg/admission`, `staging/src/k8s.io/apiserver/pkg/admission`.
"""
