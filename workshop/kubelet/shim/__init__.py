"""The shim: one small process a pod, that owns the pod's containers (upstream: containerd-shim-runc-v2).

kubelet and supervisor may die at any moment; a container may not notice, and no exit code or log line may be lost. So
a container's parent is neither of them but a shim, which reaps it, timestamps its output, holds its terminal, and
writes its exit code to disk before it tells anybody. A new kubelet finds living shims by pid and start time.

Files: `loop.py` (a selector with callbacks), `logs.py` (CRI's log format, rotation), `child.py` (from fork to exec:
namespaces, mounts, limits), `containers.py` (one container or exec session), `server.py` (the socket's verbs).
The standard library only, and little of it: started with `-I -S` it is up in 30 ms and holds about 8 MB.

The pod's directory, `<root-dir>/run/<sandbox id, 12 digits>/`:

    sandbox.json   written by the runtime          c/<id>/spec.json    what to run, by the runtime
    shim.json      {"pid", "start"}                c/<id>/state.json   {"pid", "start", "started_at"}
    shim.sock      the verbs, 0600                 c/<id>/exit.json    {"exit_code", "signal", "finished_at", "oom"}

One connection a verb: a line of JSON there, a line of JSON back. `exec` and `attach` go on with frames of
`>BI` (channel, length): 0 stdin (empty: end of input), 1 stdout, 2 stderr, 3 exit code as JSON, 4 resize as JSON.
"""
