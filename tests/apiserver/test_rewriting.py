"""Links of a page behind a proxy subresource."""

from __future__ import annotations

import pytest

from workshop.apiserver.handlers.rewriting import rewrite_html, rewrite_url

PROXY = "/api/v1/namespaces/n/services/s:80/proxy"


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ('<a href="/x?a=1&amp;b=2">t</a>', f'<a href="{PROXY}/x?a=1&amp;b=2">t</a>'),
        ("<IMG alt='/no' SRC=/i.png/ />", f"<IMG alt='/no' SRC=\"{PROXY}/i.png/\" />"),
        ('<a href="rel">', '<a href="rel">'),
        ('<a href="http://10.1.2.3:80/x">', f'<a href="{PROXY}/x">'),
        ('<a href="http://else.where/x">', '<a href="http://else.where/x">'),
        (f'<a href="{PROXY}/there">', f'<a href="{PROXY}/there">'),
        ('<!-- <a href="/x"> --><p href="/x">', '<!-- <a href="/x"> --><p href="/x">'),
        (
            "<script src=/s.js>go('<a href=\"/x\">')</script>",
            f'<script src="{PROXY}/s.js">go(\'<a href="/x">\')</script>',
        ),
        ("a < b <a", "a < b <a"),
    ],
)
def test_links(page: str, made: str) -> None:
    assert rewrite_html(page, PROXY, ("10.1.2.3:80",)) == made


def test_a_url_that_is_none() -> None:
    assert rewrite_url("http://[x", PROXY, ()) == "http://[x"
