"""The list of kinds without a controller is in step with the controllers that there are."""

from workshop.api import no_controller
from workshop.api.resources import all_resources, resource
from workshop.controllers import manager


def test_each_names_a_controller_that_does_not_run_and_a_kind_that_is_known() -> None:
    known = {(r.group, r.kind) for r in all_resources(every_version=True)}
    assert set(no_controller.KINDS) <= known
    assert set(no_controller.KINDS.values()) <= set(manager.NOT_YET)


def test_the_warning() -> None:
    text = "HorizontalPodAutoscaler is stored, but horizontal-pod-autoscaler-controller does not run here yet"
    assert no_controller.warning(resource("horizontalpodautoscalers")) == text
    assert no_controller.warning(resource("deployments.apps")) is None
