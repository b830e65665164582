"""The cluster room: a whole cluster as processes of one machine, its facade, and what watches over it.

What the real ones are: kubeadm (plan, certificates, kubeconfig files), systemd (the supervisor), containerd's and
flannel's set-up of the network. Read in this order:

- `layout`      where a cluster's files lie
- `plan`        PURE: which processes with which flags, for a mode, a number of nodes and a choice of components
                (`addresses`: where they listen; `flags`: what each is told)
- `pki`, `kubeconfig`   certificates and who holds which
- `blocks`, `network/`  the address range and the namespaces: modes plain, userns and root
- `zygote`      the process that has imported everything and forks each component (`rehearsal`: what it does before;
                `zygote_handle`: the supervisor's end)
- `supervisor`  starts, watches (`ends`), restarts (`lifecycle`: PURE), adopts (`process`); `machine_api` is its
                small HTTP on a Unix socket
- `facade`      `Cluster`: what notebooks and the command line use (`settings`: what `up` is to run; `launch`: it
                starts the supervisor)
- `observer`    what the operating system shows, beside what the API says (`procfs`, `sockets`); `watcher` tells it
                as it changes (`inotify`), `tracing` what components tell
- `board`       PURE: desired, reported and observed side by side, and who acts next
- `ready`, `leaders`, `complaints`   waiting for a cluster, who leads, why it does not come up
- `swapping`, `dial`, `sweep`   a learner's function, a way into the network, nothing left behind
- `cli/`        the `workshop` command line, and `kubectl/` a small one

Nobody here is asked by a component: components know only the API server.
"""
