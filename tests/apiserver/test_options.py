"""The command line of the API server."""

import pytest

from tests.api_server import assembled, caller, running
from workshop.api.resources import all_resources
from workshop.apiserver import options
from workshop.apiserver.assembly import Settings
from workshop.apiserver.served import served

CONFIGURED = ["--etcd-servers=http://127.0.0.1:2379", "--tls-cert-file=a.crt", "--tls-private-key-file=a.key"]


def test_each_flag_is_known_once_and_aggregation_is_configured():
    given = options.parse([*CONFIGURED, "--enable-aggregator-routing", "--proxy-client-cert-file=f.crt"])
    assert given.etcd_servers == ["http://127.0.0.1:2379"]


def test_it_does_not_start_without_etcd(capsys):
    with pytest.raises(SystemExit):
        options.parse([])
    assert "--etcd-servers must be specified" in capsys.readouterr().err


def test_every_flag_of_the_real_one_is_known():
    known = {name for action in options.parser()._actions for name in action.option_strings}
    for name in ("oidc-issuer-url", "tls-sni-cert-key", "runtime-config", "audit-log-truncate-enabled", "version"):
        assert f"--{name}" in known


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--egress-selector-config-file=x"], "--egress-selector-config-file has no effect here"),
        (["--oidc-client-id=x"], "oidc-issuer-url and oidc-client-id must be specified together"),
        (["--oidc-issuer-url=https://x", "--oidc-client-id=x", "--authentication-config=f"], "are mutually exclusive"),
        (["--encryption-provider-config-automatic-reload"], "must be set with --encryption-provider-config"),
    ],
)
def test_what_would_mislead_is_refused(flags, said, capsys):
    with pytest.raises(SystemExit):
        options.parse([*CONFIGURED, *flags])
    assert said in capsys.readouterr().err


def test_the_flags_of_oidc_are_an_issuer():
    given = ["--oidc-issuer-url=https://id.example", "--oidc-client-id=kube", "--oidc-groups-claim=roles"]
    about = options.parse([*CONFIGURED, *given, "--oidc-required-claim=hd=example.com"]).security.oidc
    assert about["issuer"]["audiences"] == ["kube"]
    assert about["claimMappings"] == {
        "username": {"claim": "sub", "prefix": "https://id.example#"},
        "groups": {"claim": "roles", "prefix": ""},
    }
    assert about["claimValidationRules"] == [{"claim": "hd", "requiredValue": "example.com"}]
    plain = options.parse([*CONFIGURED, *given, "--oidc-username-prefix=-"]).security.oidc
    assert plain["claimMappings"]["username"]["prefix"] == ""


def test_which_versions_are_served():
    def kinds(*wanted):
        return {f"{r.group}/{r.version}/{r.plural}" for r in served(all_resources(), wanted)}

    everything = kinds()
    assert everything - kinds("batch/v1/cronjobs=false") == {"batch/v1/cronjobs"}
    assert {one.split("/")[0] for one in everything - kinds("apps/v1=false")} == {"apps"}
    assert kinds("api/all=false", "v1") == {one for one in everything if one.startswith("/v1/")}
    assert kinds("api/ga=false", "api/ga=true") == everything
    for wrong in ("nothing.io/v1=false", "apps/v9=true", "apps/v1=maybe", "apps/v1/Deployments=false"):
        with pytest.raises(ValueError, match=r"unknown api groups|not been registered|invalid"):
            kinds(wrong)


async def test_what_is_not_served_is_not_there():
    allowed = {"allowed_origins": ["^https://good"], "strict_transport_security": "max-age=60"}
    async with running(assembled(settings=Settings(runtime_config=["apps/v1=false"], **allowed))) as server:
        api = caller(server)
        assert (await api("GET", "/apis/apps/v1/deployments")).status == 404
        groups = [group["name"] for group in (await api("GET", "/apis")).json["groups"]]
        assert "apps" not in groups and "batch" in groups
        answer = await api("OPTIONS", "/api/v1/pods", origin="https://good.example")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "https://good.example")
        answer = await api("GET", "/version", origin="https://bad.example")
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["strict-transport-security"] == "max-age=60"
