"""Supervisor and zygote with fake components: real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from workshop.cluster import machine_api, observer, procfs, sweep
from workshop.cluster.facade import Cluster
from workshop.cluster.layout import ClusterError


def rows(cluster):
    return {row["name"]: row for row in cluster.ps()}


def wait_for(cluster, true):
    """Follow the supervisor's events until `true(event)`."""
    found = []

    def follow():
        for event in cluster.events():
            if true(event):
                found.append(event)
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    thread.join(60)
    assert found, "the event did not come"
    return found[0]


def started_again(cluster, name, old):
    return wait_for(cluster, lambda event: event["name"] == name and event["pid"] and event["pid"] != old)


def end(pid):
    """kill -9 and wait until it has ended."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    import select

    assert select.select([handle], [], [], 60)[0]
    os.close(handle)


def test_processes_have_real_names_and_flags(fake_cluster):
    cluster = fake_cluster()
    for name, row in rows(cluster).items():
        assert row["state"] == "running", name
    plan = cluster.plan()
    for component in plan.components:
        pid = rows(cluster)[component.name]["pid"]
        assert procfs.command_line(pid) == component.title
        assert procfs.stat(pid).name == component.program[:15]
        assert procfs.stat(pid).parent == rows(cluster)["supervisor"]["pid"]
        assert "started" in cluster.layout.log(component.name).read_text()


def test_a_killed_component_comes_back_and_the_others_go_on(fake_cluster):
    cluster = fake_cluster()
    before = rows(cluster)
    os.kill(before["etcd"]["pid"], signal.SIGKILL)
    started_again(cluster, "etcd", before["etcd"]["pid"])
    after = rows(cluster)
    assert after["etcd"]["restarts"] == 1
    for name in set(before) - {"etcd"}:
        assert after[name]["pid"] == before[name]["pid"], name


def test_stop_keeps_it_down_also_for_the_next_supervisor(fake_cluster):
    cluster = fake_cluster(only=["etcd", "kube-scheduler"])
    cluster.stop("kube-scheduler")
    assert cluster.state() == "degraded"
    assert rows(cluster)["kube-scheduler"]["exit"] in (0, -signal.SIGTERM), "it got SIGTERM, not SIGKILL"
    assert (rows(cluster)["kube-scheduler"]["state"], rows(cluster)["kube-scheduler"]["pid"]) == ("stopped", None)
    end(rows(cluster)["supervisor"]["pid"])
    cluster.up(wait=0)
    assert rows(cluster)["kube-scheduler"]["state"] == "stopped"
    cluster.start("kube-scheduler")
    assert rows(cluster)["kube-scheduler"]["state"] == "running"


def test_a_new_supervisor_adopts_what_lives(fake_cluster):
    cluster = fake_cluster()
    before = rows(cluster)
    end(before["supervisor"]["pid"])
    assert not cluster.running()
    seen, names = rows(cluster), [component.name for component in cluster.plan().components]
    assert all(seen[name]["pid"] == before[name]["pid"] for name in names), "it is seen without a supervisor too"
    assert (seen["supervisor"]["state"], cluster.state()) == ("stopped", "degraded")
    cluster.up(wait=0)
    assert cluster.state() == "running"
    after = rows(cluster)
    for component in cluster.plan().components:
        assert after[component.name]["pid"] == before[component.name]["pid"]
    os.kill(after["etcd"]["pid"], signal.SIGKILL)
    started_again(cluster, "etcd", after["etcd"]["pid"])


def test_what_cannot_be_written_down_is_done_all_the_same(fake_cluster):
    cluster = fake_cluster(only=["etcd", "kube-scheduler"])
    cluster.layout.processes.unlink()
    cluster.layout.processes.mkdir()  # as a full disk, for the supervisor's list of processes
    cluster.stop("kube-scheduler")
    assert rows(cluster)["kube-scheduler"]["state"] == "stopped"
    cluster.start("kube-scheduler")
    old = rows(cluster)["etcd"]["pid"]
    cluster.kill("etcd")
    started_again(cluster, "etcd", old)
    cluster.layout.processes.rmdir()


def test_settings_of_a_cluster_are_kept(fake_cluster):
    cluster = fake_cluster(max_pods=7)
    with pytest.raises(ClusterError, match=r"\(nodes: 1, asked for: 3\)"):
        cluster.up(nodes=3)
    with pytest.raises(ClusterError, match=r"\(max_pods: 7, asked for: 8\)"):
        cluster.up(max_pods=8)
    cluster.down()
    assert cluster.state() == "down"
    with pytest.raises(ClusterError, match="is down: `workshop up"):
        cluster.stop("etcd")
    assert cluster.up(wait=0).plan().max_pods == 7
    assert (cluster.reset(wait=0).plan().max_pods, cluster.plan().mode) == (7, "plain")


def test_adoption_without_the_list_of_processes(fake_cluster):
    cluster = fake_cluster()
    before = rows(cluster)
    end(before["supervisor"]["pid"])
    cluster.layout.processes.unlink()
    cluster.up(wait=0)
    assert rows(cluster)["etcd"]["pid"] == before["etcd"]["pid"]


def test_a_new_zygote_is_made(fake_cluster):
    cluster = fake_cluster()
    before = rows(cluster)
    end(before["zygote"]["pid"])
    os.kill(before["etcd"]["pid"], signal.SIGKILL)
    started_again(cluster, "etcd", before["etcd"]["pid"])
    assert rows(cluster)["zygote"]["pid"] != before["zygote"]["pid"]
    assert rows(cluster)["kube-scheduler"]["pid"] == before["kube-scheduler"]["pid"]


@pytest.mark.parametrize(
    "victims", [[], ["supervisor"], ["zygote"], ["holder"], ["etcd"], ["supervisor", "holder", "etcd"]]
)
def test_down_leaves_nothing_after_any_kill(fake_cluster, victims):
    cluster = fake_cluster()
    seen = rows(cluster)
    identities = [(row["pid"], procfs.stat(row["pid"]).start) for row in seen.values()]
    for name in victims:
        end(seen[name]["pid"])
    plan = cluster.plan()
    cluster.down()
    assert not [pid for pid, start in identities if procfs.alive(pid, start)]
    assert sweep.survivors(cluster.layout, plan) == []
    assert sorted(entry.name for entry in (cluster.layout.root / "run").iterdir()) == ["up.lock"]
    from workshop.cluster import blocks

    guard = blocks.lock(plan.block)
    assert guard is not None, "the lock on the addresses is free"
    guard.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mode root needs root")
def test_down_takes_the_network_of_a_damaged_cluster_away(fake_cluster):
    cluster = fake_cluster(mode="root", only=["etcd", "kubelet"])
    plan = cluster.plan()
    cluster.layout.plan.write_text('{"block": ')
    end(next(row["pid"] for row in observer.processes(plan, cluster.layout) if row["name"] == "supervisor"))
    cluster.down(purge=True)
    assert not os.path.exists(f"/sys/class/net/{plan.bridge}")
    assert not [name for name in os.listdir("/run/netns") if name.startswith(f"{plan.bridge}-")]


def test_down_spares_what_only_looks_at_the_cluster(fake_cluster):
    cluster = fake_cluster(only=["etcd"])
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig())}
    cluster.layout.log("etcd").touch()  # the process may not have opened it yet
    log = str(cluster.layout.log("etcd"))
    with subprocess.Popen(
        ["tail", "-f", log], env=environment, stdout=subprocess.DEVNULL, cwd=cluster.layout.root
    ) as mine:
        cluster.down()
        assert mine.poll() is None
        mine.kill()


def test_a_component_that_cannot_run_is_tried_ever_more_slowly(fake_cluster, failing):
    failing("kube-scheduler", "--fail")
    cluster = fake_cluster(only=["etcd", "kube-scheduler"])
    event = wait_for(cluster, lambda event: event["name"] == "kube-scheduler" and event["restarts"] >= 3)
    assert event["exit"] == 3
    assert "failing" in cluster.layout.log("kube-scheduler").read_text()
    assert rows(cluster)["etcd"]["state"] == "running"


def test_a_traceback_goes_to_the_log(fake_cluster, failing):
    failing("kube-scheduler", "--raise")
    cluster = fake_cluster(only=["etcd", "kube-scheduler"])
    wait_for(cluster, lambda event: event["name"] == "kube-scheduler" and event["restarts"] >= 1)
    assert "RuntimeError: as asked" in cluster.layout.log("kube-scheduler").read_text()


def test_names_that_mean_several(fake_cluster):
    cluster = fake_cluster(nodes=2)
    assert cluster.matching("kubelet") == ["kubelet-node-1", "kubelet-node-2"]
    assert cluster.matching("node-2") == ["kubelet-node-2", "kube-proxy-node-2"]
    with pytest.raises(ClusterError, match="has no process 'nginx'; it has etcd"):
        cluster.matching("nginx")


def test_two_clusters_share_nothing(fake_cluster):
    one, two = fake_cluster(only=["etcd"]), fake_cluster(only=["etcd"])
    assert one.plan().block != two.plan().block
    one.down()
    assert rows(two)["etcd"]["state"] == "running"


def test_a_second_up_with_other_settings_is_refused(fake_cluster):
    cluster = fake_cluster(only=["etcd"])
    with pytest.raises(ClusterError, match="is running with other settings"):
        cluster.up(mode="root", wait=0)


def test_a_kept_cluster_keeps_its_addresses(fake_cluster):
    cluster = fake_cluster(only=["etcd"])
    plan = cluster.plan()
    cluster.down()
    cluster.up(wait=0)
    assert cluster.plan() == plan


def test_pause_is_seen_in_proc(fake_cluster):
    cluster = fake_cluster(only=["etcd"])
    for act, wanted in ((cluster.pause, "paused"), (cluster.resume, "running")):
        act("etcd")
        end = time.monotonic() + 60
        while rows(cluster)["etcd"]["state"] != wanted:  # a signal is sent before it has its effect
            assert time.monotonic() < end, wanted


def test_a_path_that_is_too_long_for_a_socket(fake_cluster, home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(home / "ü b" / ("x" * 120)))
    cluster = fake_cluster(only=["etcd"])
    assert cluster.state() == "running"
    cluster.kill("etcd")


def test_unknown_requests_are_refused_in_words(fake_cluster):
    cluster = fake_cluster(only=["etcd"])
    with pytest.raises(machine_api.Refused, match="no process 'x'"):
        machine_api.call(cluster.layout.socket, "POST", "/processes/x/stop")
    with pytest.raises(machine_api.Refused, match="no GET /secrets"):
        machine_api.call(cluster.layout.socket, "GET", "/secrets")


def test_the_socket_is_the_owners_alone(fake_cluster):
    cluster = fake_cluster(only=["etcd"])
    assert os.stat(cluster.layout.socket.parent).st_mode & 0o077 == 0


def test_an_unreadable_plan_is_one_sentence(home):
    cluster = Cluster("broken")
    cluster.layout.create()
    cluster.layout.plan.write_text("{")
    with pytest.raises(ClusterError, match=r"cluster\.json is damaged"):
        cluster.up(mode="plain", wait=0)
    command = [sys.executable, "-m", "workshop", "list", "-o", "json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert json.loads(listed) == [{"name": "broken", "state": "damaged", "mode": None, "addresses": None}]


def test_a_state_directory_that_no_list_of_paths_could_hold(home, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(home / "a:b"))
    with pytest.raises(ClusterError, match="':' separates paths"):
        Cluster("lab").up(mode="plain", wait=0)


def test_a_file_in_the_place_of_the_state_directory(home):
    (home / "clusters").write_text("")
    with pytest.raises(ClusterError, match="is a file where a directory is needed"):
        Cluster("lab").up(mode="plain", wait=0)


def test_the_command_line_speaks_json_and_sentences(fake_cluster):
    cluster = fake_cluster(only=["etcd"])

    def workshop(*argv):
        return subprocess.run(
            [sys.executable, "-m", "workshop", *argv], capture_output=True, text=True, check=False, timeout=60
        )

    listed = json.loads(workshop("ps", "--name", cluster.name, "-o", "json").stdout)
    assert {"name", "pid", "state", "node", "leader"} <= listed[0].keys()
    assert json.loads(workshop("status", "--name", cluster.name, "-o", "json").stdout)["mode"] == "plain"
    nobody = workshop("ps", "--name", "nobody")
    assert (nobody.returncode, nobody.stderr) == (
        1,
        "workshop: there is no cluster 'nobody': `workshop up --name nobody` makes one\n",
    )
    before = workshop("--name", "nobody", "ps")
    assert before.stderr == nobody.stderr, "the name may also come first"
    exports = workshop("etcdctl", "--name", cluster.name, "--env").stdout
    assert "export ETCDCTL_ENDPOINTS=https://127." in exports
