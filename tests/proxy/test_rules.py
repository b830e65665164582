from dataclasses import replace

from workshop.proxy.rules import Endpoint, HealthCheck, Listen, NodeView, Target, changes, health_checks, render

NODE = NodeView("node-1", "10.7.254.11")


def service(name="web", labels=None, status=None, **spec):
    given = {"clusterIP": "10.7.128.9", "ports": [{"port": 80, "protocol": "TCP"}], **spec}
    return {
        "metadata": {"namespace": "default", "name": name, "labels": labels or {}},
        "spec": given,
        "status": status or {},
    }


def endpoint(address, node="node-1", **conditions):
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def endpoint_slice(*endpoints, name="web", ports=({"port": 8080, "protocol": "TCP"},), family="IPv4", labels=None):
    labels = {"kubernetes.io/service-name": name, **(labels or {})}
    return {
        "metadata": {"namespace": "default", "name": f"{name}-abc", "labels": labels},
        "addressType": family,
        "ports": list(ports),
        "endpoints": list(endpoints),
    }


def one(services, slices, node=NODE):
    rules = render(services, slices, node)
    assert len(rules) == 1, rules
    return next(iter(rules.items()))


def test_a_service_leads_to_its_ready_endpoints():
    slices = [endpoint_slice(endpoint("10.7.1.5", ready=True), endpoint("10.7.0.5"), endpoint("10.7.0.6", ready=False))]
    at, target = one([service()], slices)
    assert at == Listen("TCP", "10.7.128.9", 80)
    assert target == Target("default/web", (Endpoint("10.7.0.5", 8080), Endpoint("10.7.1.5", 8080)), 0)


def test_several_slices_are_one_set():
    slices = [endpoint_slice(endpoint("10.7.0.5")), endpoint_slice(endpoint("10.7.0.6"), endpoint("10.7.0.5"))]
    _, target = one([service()], slices)
    assert len(target.endpoints) == 2


def test_without_endpoints_nothing_listens():
    assert render([service()], [], NODE) == {}
    assert render([service()], [endpoint_slice(endpoint("10.7.0.5", ready=False))], NODE) == {}


def test_ending_endpoints_serve_when_nothing_else_does():
    ending = endpoint("10.7.0.6", ready=False, serving=True, terminating=True)
    _, target = one([service()], [endpoint_slice(ending)])
    assert target.endpoints == (Endpoint("10.7.0.6", 8080),)
    _, target = one([service()], [endpoint_slice(ending, endpoint("10.7.0.5", ready=True))])
    assert target.endpoints == (Endpoint("10.7.0.5", 8080),)


def test_ports_are_matched_by_name_and_protocol():
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    slices = [
        endpoint_slice(endpoint("10.7.0.5"), ports=[{"name": "dns", "port": 1053, "protocol": "UDP"}]),
        endpoint_slice(endpoint("10.7.0.6"), ports=[{"name": "dns-tcp", "port": 2053, "protocol": "TCP"}]),
    ]
    rules = render([service(ports=ports)], slices, NODE)
    assert rules[Listen("UDP", "10.7.128.9", 53)].endpoints == (Endpoint("10.7.0.5", 1053),)
    assert rules[Listen("TCP", "10.7.128.9", 53)].endpoints == (Endpoint("10.7.0.6", 2053),)


def test_node_ports_and_external_addresses():
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}]
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "203.0.113.10", "ipMode": "Proxy"}]}}
    rules = render(
        [service(ports=ports, externalIPs=["198.51.100.4"], status=status)],
        [endpoint_slice(endpoint("10.7.0.5"))],
        NODE,
    )
    assert {str(at) for at in rules} == {
        "10.7.128.9:80/TCP",
        "198.51.100.4:80/TCP",
        "203.0.113.9:80/TCP",
        "10.7.254.11:30080/TCP",
    }


def test_local_policies_keep_to_the_node():
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}]
    slices = [endpoint_slice(endpoint("10.7.0.5"), endpoint("10.7.1.5", node="node-2"))]
    rules = render([service(ports=ports, externalTrafficPolicy="Local")], slices, NODE)
    assert len(rules[Listen("TCP", "10.7.128.9", 80)].endpoints) == 2
    assert rules[Listen("TCP", "10.7.254.11", 30080)].endpoints == (Endpoint("10.7.0.5", 8080),)
    rules = render(
        [service(internalTrafficPolicy="Local")], [endpoint_slice(endpoint("10.7.1.5", node="node-2"))], NODE
    )
    assert rules == {}


def test_services_of_others_are_left_alone():
    slices = [endpoint_slice(endpoint("10.7.0.5"))]
    assert render([service(clusterIP="None")], slices, NODE) == {}
    assert render([service(clusterIP="", type="ExternalName")], slices, NODE) == {}
    assert render([service(labels={"service.kubernetes.io/service-proxy-name": "mine"})], slices, NODE) == {}
    assert render([service()], [endpoint_slice(endpoint("fd00::5"), family="IPv6")], NODE) == {}
    assert (
        render([service()], [endpoint_slice(endpoint("10.7.0.5"), labels={"service.kubernetes.io/headless": ""})], NODE)
        == {}
    )


def test_affinity_has_upstreams_default():
    slices = [endpoint_slice(endpoint("10.7.0.5"))]
    assert one([service(sessionAffinity="ClientIP")], slices)[1].affinity == 10800
    config = {"clientIP": {"timeoutSeconds": 30}}
    assert one([service(sessionAffinity="ClientIP", sessionAffinityConfig=config)], slices)[1].affinity == 30
    assert one([service(sessionAffinity="None", sessionAffinityConfig=config)], slices)[1].affinity == 0


def test_low_loopback_ports_are_shifted_on_both_sides():
    node = NodeView("node-1", "127.7.254.11", lowest_port=1024)
    plain = service(clusterIP="127.7.128.9")
    at, target = one([plain], [endpoint_slice(endpoint("127.7.0.5"), ports=[{"port": 80, "protocol": "TCP"}])], node)
    assert (at.port, target.endpoints) == (10080, (Endpoint("127.7.0.5", 10080),))
    at, target = one([plain], [endpoint_slice(endpoint("127.7.0.5"))], node)
    assert target.endpoints == (Endpoint("127.7.0.5", 8080),)


def test_only_the_difference_is_applied():
    a, b = Listen("TCP", "10.7.128.9", 80), Listen("TCP", "10.7.128.10", 80)
    old, new = Target("x", (Endpoint("10.7.0.5", 80),), 0), Target("x", (Endpoint("10.7.0.6", 80),), 0)
    assert changes({a: old}, {a: new, b: new}) == ([], [b])
    assert changes({a: old, b: old}, {b: old}) == ([a], [])


def hinted(address, node, zone, *, nodes=()):
    hints = {"forZones": [{"name": zone}], **({"forNodes": [{"name": name} for name in nodes]} if nodes else {})}
    return {**endpoint(address, node, ready=True), "hints": hints}


def addresses(slices, node=NODE, **spec):
    return [e.address for e in one([service(**spec)], slices, node)[1].endpoints]


def test_hints_keep_traffic_in_its_zone_or_on_its_node():
    """All hinted and one of them for us: those are taken. One without a hint, or none for us: all are."""
    far, close = hinted("10.7.1.5", "node-2", "b"), hinted("10.7.0.5", "node-1", "a")
    here = replace(NODE, zone="a")
    assert addresses([endpoint_slice(far, close)], here) == ["10.7.0.5"]
    assert addresses([endpoint_slice(far, close)]) == ["10.7.0.5", "10.7.1.5"]  # our node has no zone
    assert addresses([endpoint_slice(far, endpoint("10.7.0.9", ready=True))], here) == ["10.7.0.9", "10.7.1.5"]
    by_node = [hinted("10.7.0.5", "node-1", "a", nodes=["node-1"]), hinted("10.7.1.5", "node-2", "a", nodes=["node-2"])]
    assert addresses([endpoint_slice(*by_node)], here) == ["10.7.0.5"]
    assert addresses([endpoint_slice(*by_node)], replace(here, name="node-3")) == ["10.7.0.5", "10.7.1.5"]
    assert addresses([endpoint_slice(*by_node)], here, internalTrafficPolicy="Local") == ["10.7.0.5"]


def test_who_may_come_to_a_load_balancers_address():
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}
    web = service(loadBalancerSourceRanges=["198.51.100.0/24"], status=status)
    rules = render([web], [endpoint_slice(endpoint("10.7.0.5"))], NODE)
    outer = rules[Listen("TCP", "203.0.113.9", 80)]
    assert outer.admits("198.51.100.7") and not outer.admits("10.7.0.9")
    assert rules[Listen("TCP", "10.7.128.9", 80)].admits("10.7.0.9")


def test_health_checks_count_what_is_ready_here():
    local = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
    slices = [
        endpoint_slice(
            endpoint("10.7.0.5", ready=True), endpoint("10.7.1.5", "node-2"), endpoint("10.7.0.6", ready=False)
        )
    ]
    assert health_checks([service(**local)], slices, NODE) == {("default", "web"): HealthCheck(31000, 1)}
    assert health_checks([service(healthCheckNodePort=31000)], slices, NODE) == {}
