"""What is kept of texts that clients send."""

from __future__ import annotations

from workshop.api import fields, labels
from workshop.apiserver.server.negotiate import accepted


def test_short_texts_are_kept_and_long_ones_are_not() -> None:
    long = ",".join(["a=b"] * 200)
    for parse, short, huge in (
        (labels.parse, "a=b", long),
        (fields.parse, "a=b", long),
        (accepted, "application/json;as=Table;g=meta.k8s.io;v=v1", "application/json," + "x/y," * 200),
    ):
        assert parse(short) is parse(short)
        assert parse(huge) == parse(huge) and parse(huge) is not parse(huge)
