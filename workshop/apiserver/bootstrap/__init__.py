"""Bootstrapping: what a new cluster holds before anybody has made anything.

Read in this order:

- `system.py`    what depends on flags: namespaces, Service `kubernetes`, endpoints, certificates, the lease
- `facts.py`     what does not: RBAC, flow control, priority classes, from `table.json`
- `reconcile.py` what to write, over what is there already
- `run.py`       reading and writing; keeping this server's own records fresh

Upstream: `pkg/controlplane`, `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`.
"""
