"""Runtimes behind `cri.py`, chosen by `--container-runtime-endpoint`.

- `process`     real processes under a shim: `process.py` has the pods, `process_containers.py` what runs in them
                (`shims.py`, `spec.py`, `cgroups.py`, `streams.py`, `standins.py`)
- `docker`      containers of a Docker Engine under dockershim's names (`docker.py`; `docker_calls.py`,
                `docker_objects.py`, `docker_streams.py`, `docker_logs.py`, `docker_engine.py`)
- `simulated`   statuses only, for scale (`simulated_journal.py`: they outlive kubelet)
- `networking.py` is the pod network that the first two share; `files.py` and `output.py` are small things of theirs
"""
