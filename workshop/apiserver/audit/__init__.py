"""Audit: who asked what of this server, when, and how it ended; a line of JSON a stage.

- `policy.py`  which requests are recorded, and how much of each (pure; the file of `--audit-policy-file`)
- `event.py`   the record of one request, filled in on its way (pure)
- `log.py`     the file that the records go to, with rotation
- `batch.py`   records in batches: to a webhook, or to a log that nobody waits for
- `backends.py` log and webhook by the flags, each in its mode; records that are too long are shortened
- `link.py`    the link of the chain that opens a record and closes it

Upstream: `staging/src/k8s.io/apiserver/pkg/audit`, `plugin/pkg/audit/log`.
"""
