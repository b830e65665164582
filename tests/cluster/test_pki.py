import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from workshop.cluster import complaints, kubeconfig, pki
from workshop.cluster import plan as planning
from workshop.cluster.layout import ClusterError, Layout, check_name, write_private
from workshop.cluster.process import Remembered, remembered


@pytest.fixture
def layout(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    layout = Layout.of("lab")
    layout.create()
    return layout


@pytest.fixture
def plan(layout):
    return planning.make("lab", str(layout.root), mode="userns", block=7, nodes=2)


def load(layout, file):
    return x509.load_pem_x509_certificate((layout.pki / f"{file}.crt").read_bytes())


def test_each_certificate_is_signed_by_its_authority(layout, plan):
    pki.issue(plan, layout.pki)
    for request in pki.requests(plan):
        load(layout, request.file).verify_directly_issued_by(load(layout, request.authority))
    with pytest.raises(ValueError):
        load(layout, "apiserver").verify_directly_issued_by(load(layout, "etcd/ca"))


def test_names_are_what_kubernetes_reads(layout, plan):
    pki.issue(plan, layout.pki)
    subject = load(layout, "kubelet-client-node-2").subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:node-2"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
    names = load(layout, "apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {"10.7.254.1", "10.7.128.1", "127.7.254.1", "127.0.0.1"} <= addresses
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_keys_are_elliptic_and_private(layout, plan):
    pki.issue(plan, layout.pki)
    kubeconfig.write_all(plan, layout)
    assert isinstance(load(layout, "apiserver").public_key(), ec.EllipticCurvePublicKey)
    for folder, _, files in os.walk(layout.root):
        assert os.stat(folder).st_mode & 0o777 == 0o700
        for file in files:
            assert os.stat(os.path.join(folder, file)).st_mode & 0o777 == 0o600, file


def test_issuing_again_keeps_what_fits(layout, plan):
    pki.issue(plan, layout.pki)
    before = {path: path.read_bytes() for path in layout.pki.rglob("*") if path.is_file()}
    pki.issue(plan, layout.pki)
    assert before == {path: path.read_bytes() for path in layout.pki.rglob("*") if path.is_file()}


def test_an_interrupted_issue_is_completed(layout, plan):
    pki.issue(plan, layout.pki)
    (layout.pki / "scheduler.key").unlink()
    pki.issue(plan, layout.pki)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(layout.pki / "scheduler.crt", layout.pki / "scheduler.key")


def test_a_new_address_makes_a_new_certificate(layout, plan):
    pki.issue(plan, layout.pki)
    moved = planning.make("lab", str(layout.root), mode="userns", block=8, nodes=2)
    pki.issue(moved, layout.pki)
    names = load(layout, "apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.8.254.1" in {str(address) for address in names.get_values_for_type(x509.IPAddress)}


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "a" * 33])
def test_bad_names_are_refused(name):
    with pytest.raises(ClusterError, match="is no name for a cluster"):
        check_name(name)


def test_a_write_that_fails_says_why_and_leaves_nothing(tmp_path):
    with pytest.raises(ClusterError, match="cannot use"):
        write_private(tmp_path / "missing" / "file", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this machine")
    from workshop.cluster.layout import explain

    with open("/dev/full", "wb", buffering=0) as file, pytest.raises(OSError) as caught:
        file.write(b"x")
    assert "is full: make room" in explain(caught.value, Layout.of("lab").root)


@pytest.mark.parametrize(
    ("file", "damage"),
    [("ca.crt", ""), ("ca.key", None), ("admin.crt", "-----BEGIN"), ("apiserver.key", "junk"), ("sa.key", "")],
)
def test_what_is_damaged_is_made_anew_with_all_that_hangs_on_it(layout, plan, file, damage):
    pki.issue(plan, layout.pki)
    path = layout.pki / file
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    pki.issue(plan, layout.pki)
    authority = x509.load_pem_x509_certificate((layout.pki / "ca.crt").read_bytes())
    for request in pki.requests(plan):
        if request.authority == "ca":
            made = x509.load_pem_x509_certificate((layout.pki / f"{request.file}.crt").read_bytes())
            made.verify_directly_issued_by(authority)
    assert pki._is_pair(layout.pki / "sa.key", layout.pki / "sa.pub")


def test_last_words_are_those_of_the_program_not_its_log(tmp_path):
    layout = Layout("b", tmp_path)
    (tmp_path / "logs").mkdir()
    layout.log("etcd").write_text(
        "I1128 21:53:09.667702    7417 node.py:335] raft: leads\netcd: its disk is full\nI1128 21:53:10.1 1 a] b\n"
    )
    rows = [{"name": "etcd", "state": "restarting"}, {"name": "kubelet-node-1", "state": "running"}]
    assert complaints.of(rows, layout) == "; etcd ends again and again, it said: etcd: its disk is full"


def test_what_an_earlier_supervisor_left_in_disorder_is_forgotten(tmp_path):
    path = tmp_path / "processes.json"
    for text in ("", "junk", "[]", '[{"pid": 1}]', '{"etcd": 3}', '{"etcd": {"pid": "x"}}'):
        path.write_text(text)
        assert remembered(path) == {}
    path.write_text('{"etcd": {"pid": null, "restarts": 2, "wanted": false}}')
    assert remembered(path) == {"etcd": Remembered(0, 0, 2, False)}


def test_a_clock_that_was_set_back_makes_them_anew(layout, plan, monkeypatch):
    monkeypatch.setattr(pki.SYSTEM, "now", lambda: 2_000_000_000.0)
    pki.issue(plan, layout.pki)
    before = load(layout, "ca"), load(layout, "admin")
    pki.issue(plan, layout.pki)
    assert (load(layout, "ca"), load(layout, "admin")) == before
    monkeypatch.setattr(pki.SYSTEM, "now", lambda: 1_900_000_000.0)
    pki.issue(plan, layout.pki)
    load(layout, "admin").verify_directly_issued_by(load(layout, "ca"))
    assert load(layout, "ca").not_valid_before_utc.timestamp() <= 1_900_000_000
