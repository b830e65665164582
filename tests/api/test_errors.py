import pytest

from workshop.api import errors
from workshop.api.resources import resource


def test_not_found_is_upstreams_status() -> None:
    assert errors.not_found("deployments.apps", "web").status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" not found',
        "reason": "NotFound",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


def test_takes_a_resource_or_its_text() -> None:
    assert (
        errors.not_found(resource("deployments.apps"), "web").status
        == errors.not_found("deployments.apps", "web").status
    )


def test_several_causes_are_told_once_each_in_brackets() -> None:
    causes = [
        {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
        {"reason": "FieldValueInvalid", "message": 'Invalid value: "": no', "field": "spec.template"},
        {"reason": "FieldValueInvalid", "message": 'Invalid value: "": no', "field": "spec.template"},
    ]
    error = errors.invalid("Deployment.apps", "web", causes)
    assert error.message == (
        'Deployment.apps "web" is invalid: [spec.selector: Required value, spec.template: Invalid value: "": no]'
    )
    assert len(error.causes) == 3
    assert error.details["group"] == "apps" and error.details["kind"] == "Deployment"
    assert error.code == 422


@pytest.mark.parametrize(
    ("resource_name", "name", "text"),
    [
        ("", "", "forbidden: no"),
        ("pods", "", "pods is forbidden: no"),
        ("pods", "web", 'pods "web" is forbidden: no'),
    ],
)
def test_forbidden(resource_name: str, name: str, text: str) -> None:
    assert errors.forbidden(resource_name, name, "no").message == text


def test_questions_look_at_the_reason() -> None:
    assert errors.is_conflict(errors.conflict("pods", "web"))
    assert not errors.is_conflict(errors.already_exists("pods", "web"))
    assert errors.is_already_exists(errors.already_exists("pods", "web"))
    assert not errors.is_not_found(KeyError("x"))


def test_too_large_resource_version() -> None:
    error = errors.resource_version_too_large(9, 3)
    assert error.message == "Timeout: Too large resource version: 9, current: 3"
    assert error.code == 504 and error.retry_after == 1


def test_generic_by_http_code() -> None:
    assert errors.generic(409, "POST", "pods").reason == "AlreadyExists"
    error = errors.generic(502, "GET", "pods", "web", server_message='a "b"', unexpected=True)
    assert (
        error.message == 'an error on the server ("a \\"b\\"") has prevented the request from succeeding (get pods web)'
    )
    assert error.causes == [{"reason": "UnexpectedServerResponse", "message": 'a "b"'}]
    assert (
        errors.generic(418).message
        == "the server responded with the status code 418 but did not return more information"
    )
