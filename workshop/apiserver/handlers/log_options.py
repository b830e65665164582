"""What a request for a pod's log asks for. Pure. Upstream: ValidatePodLogOptions in pkg/apis/core/validation."""

from __future__ import annotations

from workshop.api import errors
from workshop.api.self_reading import DecodeError, time
from workshop.apiserver.server.http import Request

FLAGS = ("follow", "previous", "timestamps")
NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
ONE = "at most one of `sinceTime` or `sinceSeconds` may be specified"


def log_options(request: Request, pod: str) -> dict[str, str]:
    """The query for the kubelet. Raises ApiError 400 for what is no number or time, 422 for what may not be.

    `tailLines=5&follow=1` is {"follow": "true", "tailLines": "5"}."""
    kept = {name: "true" for name in FLAGS if request.flag(name)}
    numbers = {name: number for name in NUMBERS if (number := request.number(name)) is not None}
    if since := request.option("sinceTime"):
        try:
            kept["sinceTime"] = time(since)
        except DecodeError as error:
            raise errors.bad_request(str(error)) from None
    causes = list(_causes(numbers, since))
    if "stream" in request.query:
        causes.append(errors.cause("FieldValueForbidden", "Forbidden: may not be specified", "stream"))
    if causes:
        raise errors.invalid("PodLogOptions", pod, causes)
    return kept | {name: str(number) for name, number in numbers.items()}


def _causes(numbers: dict[str, int], since: str) -> list[dict[str, str]]:
    found = []
    for name, least, said in (
        ("tailLines", 0, "must be greater than or equal to 0"), ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ):  # fmt: skip
        if (number := numbers.get(name)) is not None and number < least and not (since and name == "sinceSeconds"):
            found.append(errors.cause("FieldValueInvalid", f"Invalid value: {number}: {said}", name))
    if since and "sinceSeconds" in numbers:
        found.append(errors.cause("FieldValueForbidden", f"Forbidden: {ONE}", "[]"))
    return found
