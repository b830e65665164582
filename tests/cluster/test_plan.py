import json

import pytest

from workshop.cluster import plan as planning
from workshop.cluster.network import cni, topology


def make(**given):
    return planning.make("lab", "/state/lab", **{"mode": "root", "block": 7, **given})


def test_all_programs_under_their_real_names():
    plan = make(nodes=2)
    assert [c.name for c in plan.components] == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet-node-1",
        "kubelet-node-2",
        "kube-proxy-node-1",
        "kube-proxy-node-2",
    ]
    assert all(c.argv[0] == c.program for c in plan.components)


def test_only_chosen_programs():
    plan = make(only=["etcd", "kube-apiserver"])
    assert [c.name for c in plan.components] == ["etcd", "kube-apiserver"]
    assert plan.nodes == ()


def test_a_plan_survives_json():
    plan = make(nodes=3, mode="userns", runtime="simulated", max_pods=500, why="by trial")
    assert planning.Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(("mode", "prefix"), [("plain", "127.7"), ("userns", "10.7"), ("root", "10.7")])
def test_addresses_follow_the_mode(mode, prefix):
    plan = make(mode=mode)
    assert f"--bind-address={prefix}.254.1" in plan.component("kube-apiserver").argv
    assert f"--node-ip={prefix}.254.12" in plan.component("kubelet-node-2").argv
    assert f"--cluster-cidr={prefix}.0.0/17" in plan.component("kube-controller-manager").argv


def test_only_mode_userns_hands_over_a_socket():
    assert make(mode="userns").component("kube-apiserver").listen == ("127.7.254.1:6443",)
    assert make(mode="root").component("kube-apiserver").listen == ()
    assert make(mode="userns").addresses.api_server == "https://127.7.254.1:6443"


def test_nodes_have_namespaces_but_in_plain():
    assert make().component("kubelet-node-1").namespace == "ws7-node-1"
    assert make().component("etcd").namespace is None
    assert make(mode="plain").component("kubelet-node-1").namespace is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"only": ["kube-dns"]}, "there is no component 'kube-dns'"),
        ({"nodes": -1}, "a cluster has 0 to 200 nodes"),
        ({"runtime": "rkt"}, "there is no runtime 'rkt'"),
        ({"runtime": "docker", "mode": "userns"}, "outside the cluster's user namespace"),
    ],
)
def test_impossible_choices_are_refused_in_words(given, words):
    with pytest.raises(ValueError, match=words):
        make(**given)


def test_no_secret_stands_in_an_argument():
    for component in make().components:
        assert not any("BEGIN" in word or "token=" in word for word in component.argv)


def test_the_hosts_network_reaches_pods_and_services():
    lines = topology.host_commands(make(nodes=2))
    assert "addr add 10.7.254.1/24 dev ws7" in lines
    assert "route add 10.7.128.0/18 via 10.7.254.11" in lines
    assert "link set lo up" not in lines
    assert lines.index("netns add ws7-node-2") < lines.index(
        "link add ws7-n2 type veth peer name eth0 netns ws7-node-2"
    )


def test_a_node_takes_the_service_range_as_its_own():
    plan = make()
    assert "route add local 10.7.128.0/18 dev lo" in topology.node_commands(plan, plan.nodes[0])


def test_a_cluster_without_nodes_routes_no_services():
    assert not any("10.7.128.0" in line for line in topology.host_commands(make(nodes=0)))


def test_network_configuration_names_both_ranges():
    assert cni.configuration(make(mode="plain"))["type"] == "loopback"
    bridge = cni.configuration(make())
    assert (bridge["type"], bridge["clusterCIDR"], bridge["serviceCIDR"]) == ("bridge", "10.7.0.0/17", "10.7.128.0/18")


def test_each_master_has_a_control_plane_of_its_own_and_all_members_of_etcd():
    plan = make(masters=3, nodes=1)
    assert plan.addresses.control_planes == ("10.7.254.1", "10.7.254.2", "10.7.254.3")
    assert [c.name for c in plan.components if c.node == "master-2"] == [
        "etcd-master-2",
        "kube-apiserver-master-2",
        "kube-controller-manager-master-2",
        "kube-scheduler-master-2",
    ]
    member = plan.component("etcd-master-2").argv
    named = ",".join(f"master-{n}=https://10.7.254.{n}:2380" for n in (1, 2, 3))
    assert {"--name=master-2", f"--initial-cluster={named}", "--data-dir=/state/lab/etcd/master-2"} <= set(member)
    servers = next(w for w in plan.component("kube-apiserver-master-2").argv if w.startswith("--etcd-servers"))
    assert servers == "--etcd-servers=https://10.7.254.2:2379,https://10.7.254.1:2379,https://10.7.254.3:2379"
    assert plan.component("load-balancer").argv[1] == "--listen=10.7.254.10:6443"
    assert plan.addresses.api_server == "https://10.7.254.10:6443"
    assert planning.Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_members_of_etcd_alone_need_no_balancer():
    plan = make(masters=5, only=["etcd"])
    assert [c.name for c in plan.components] == [f"etcd-master-{n}" for n in range(1, 6)]
    with pytest.raises(ValueError, match="1 to 7 masters"):
        make(masters=8)


def test_what_is_left_of_a_plan_is_enough_to_take_the_cluster_away():
    text = json.dumps(make(nodes=2, runtime="docker", runtime_endpoint="unix:///d.sock").to_json(), indent=1)
    found = planning.salvaged("lab", "/state/lab", text[:-20], nodes=2)
    assert (found.mode, found.bridge, len(found.nodes), found.docker) == ("root", "ws7", 2, "unix:///d.sock")
    named = planning.salvaged("lab", "/state/lab", "server: https://127.9.254.1:6443", nodes=0)
    assert (named.mode, named.block) == ("plain", 9)
    assert planning.salvaged("lab", "/state/lab", "{", nodes=2) is None
