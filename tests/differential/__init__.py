"""The differential harness: the same request to a real kube-apiserver and to ours, and what they answer side by side.

    bases.yaml      one rich valid object a kind; doors.yaml: what is written through status, scale, binding, …
    mutate.py       field-wise mutations of them, by the schema
    cases.py        sheets of requests: creations, updates, doors; each in a state that `stage.py` makes
    devices.py      limits and combinations that no change of one field meets
    requests.py     requests that are wrong as a whole: syntax, nesting, sizes, options, patches, paths
    verbs.py        every verb at every door of a kind: identities, versions, options, selectors, headers
    patches.py      one change a field, by each of the four kinds of patches
    scenarios.py    stories of more than one step (scenarios.yaml): tokens, reviews, evictions, bindings, warnings, …
    servers.py      a real server over HTTPS, ours in this process; masks.py: what is no difference, and why
    compare.py      what is different;  explained.yaml: where ours answers otherwise, with the reason
    __main__.py     python -m tests.differential --kubeconfig REAL/admin.conf [--only SHEET …]
    fuzz.py         python -m tests.differential.fuzz: bodies that are broken at random, to ours alone

CI has no real server: compact tables of its answers are kept in tests/apiserver/real (see `keep.py`). Two campaigns
against one real server disturb each other.
"""
