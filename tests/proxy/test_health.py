import json

from tests.virtual_clock import StillClock
from workshop.proxy import health


def test_unhealthy_until_rules_were_applied():
    state = health.State(StillClock(1_000_000_000.0))
    assert health.answer(state, "/healthz")[0] == 503
    state.updated = 999_999_990.0
    status, _, body = health.answer(state, "/healthz")
    assert status == 200
    assert json.loads(body) == {"lastUpdated": "2001-09-09T01:46:30Z", "currentTime": "2001-09-09T01:46:40Z"}


def test_metrics_count():
    _, _, body = health.answer(health.State(StillClock(1_000_000_000.0), syncs=3, rules=2), "/metrics")
    assert "kubeproxy_sync_proxy_rules_total 3\n" in body
    assert "kubeproxy_userspace_listeners 2\n" in body


def test_unknown_paths():
    assert health.answer(health.State(StillClock(1_000_000_000.0)), "/x")[0] == 404
