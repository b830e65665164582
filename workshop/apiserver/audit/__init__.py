"""Audit: who asked what of this server, when, and how it ended; a line of JSON a stage.

- `policy.py`  which requests are recorded, and how much of each (pure; the file of `--audit-policy-file`)
- `event.py`   the record of one request, filled in on its way (pure)
- `log.py`     the file that the records go to, with rotation
- `link.py`    the link of the chain that opens a record and closes it

Left out: the webhook backend, and writing in batches (a record is in the file before the answer goes out).
Upstream: `staging/src/k8s.io/apiserver/pkg/audit`, `plugin/pkg/audit/log`.
"""
