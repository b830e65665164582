"""The differential harness: the same request to a real kube-apiserver and to ours, and what they answer side by side.

    bases.yaml   one rich valid object a kind
    mutate.py    field-wise mutations of them, by the schema
    cases.py     requests: creations, updates, subresources, bodies nobody can read
    servers.py   a real server over HTTPS, ours in this process; answers in a form that can be compared
    __main__.py  python -m tests.differential --kubeconfig REAL/admin.conf [--only KIND …] [--keep FILE]

CI has no real server: a compact table of its answers is kept in tests/apiserver/real (see `keep.py`).
"""
