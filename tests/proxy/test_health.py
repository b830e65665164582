import json

from workshop.proxy import health


class FixedClock:
    def now(self):
        return 1_000_000_000.0

    def monotonic(self):
        return 0.0

    async def sleep(self, seconds):
        raise AssertionError("nothing here sleeps")


def test_unhealthy_until_rules_were_applied():
    state = health.State(FixedClock())
    assert health.answer(state, "/healthz")[0] == 503
    state.updated = 999_999_990.0
    status, _, body = health.answer(state, "/healthz")
    assert status == 200
    assert json.loads(body) == {"lastUpdated": "2001-09-09T01:46:30Z", "currentTime": "2001-09-09T01:46:40Z"}


def test_metrics_count():
    _, _, body = health.answer(health.State(FixedClock(), syncs=3, rules=2), "/metrics")
    assert "kubeproxy_sync_proxy_rules_total 3\n" in body
    assert "kubeproxy_userspace_listeners 2\n" in body


def test_unknown_paths():
    assert health.answer(health.State(FixedClock()), "/x")[0] == 404
