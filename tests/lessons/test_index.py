"""The lab index shows what is in the file, and sees when it changes."""

from workshop.lessons import index
from workshop.lessons.progress import Progress


def test_a_row_a_lab(home):
    store = Progress()
    store.record("tour", "@", at="stop etcd")
    store.record("tour", "no node", passed=True, tries=1)
    store.record("tour", "three truths", passed=False, tries=2)
    shown = index.table(store.labs(), index.entries())
    first, second, third, fourth = shown.rows
    assert first == ("00 Tour", "at “stop etcd”", "1 of 3", "✗ three truths\n✓ no node\n· a favourite pod")
    assert second[1:3] == ("not begun", "0 of 3")
    assert third[:3] == ("02 etcd", "not begun", "0 of 4")
    assert fourth[:3] == ("03 kube-apiserver", "not begun", "0 of 4")
    assert "<script" not in shown._repr_html_() and "✓ no node" in shown._repr_html_()


def test_it_sees_a_change(home):
    live = index.Live(Progress(), index.entries())
    assert live.changed() is False
    Progress().record("tour", "no node", passed=True)
    assert live.changed() is True and live.changed() is False
    assert live.now().rows[0][2] == "1 of 3"
