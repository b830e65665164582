"""Which cluster is warmed up."""

from workshop.lessons.warm import latest


def test_the_lab_of_the_last_step():
    assert latest({}) == "tour"
    assert latest({"tour": {"no node": {"passed": True}}}) == "tour"
    assert latest({"tour": {"@": {"since": 5.0}}, "control-loop": {"@": {"since": 9.0}}}) == "control-loop"
