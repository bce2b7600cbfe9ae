"""Accept headers, by RFC 9110 12.5.1."""

from __future__ import annotations

import pytest

from radserve_preproc.errors import NotAcceptable
from radserve_preproc.negotiation import negotiate

BOTH = ("application/json", "image/png")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        (" , ", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("image/png, application/json", "application/json"),
        ("image/png, application/json;q=0.9", "image/png"),
        ("image/png;q=0.9, application/json;q=0.91", "application/json"),
        ("*/*;q=0.1, image/*;q=0.5", "image/png"),
        ("*/*, application/json;q=0", "image/png"),
        ("image/*;q=1, image/png;q=0.2, application/json;q=0.3", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
        ("image/png ; q=0.5 , application/json ; q=0.4", "image/png"),
        ("application/json;version=2, image/png;q=0.1", "image/png"),
        ("application/json;q=2, image/png;q=0.1", "image/png"),
        ("application/json;q=nan, image/png;q=0.1", "image/png"),
        ("rubbish, image/png;q=0.1", "image/png"),
        ("application/json;q=1.000;ext=1", "application/json"),
        ("application/json;charset=UTF-8, image/png;q=0.9", "application/json"),
        ('application/json; charset="utf-8"; q=0.1, image/png', "image/png"),
        ("application/json;charset=latin-1, image/png;q=0.1", "image/png"),
    ],
)
def test_the_clients_first_choice_is_given(accept: str | None, chosen: str) -> None:
    assert negotiate(accept, BOTH) == chosen


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/jpeg",
        "*/*;q=0",
        "application/json;q=0",
        "application/json;q=0, image/png;q=0.000",
        "rubbish",
    ],
)
def test_nothing_fitting_is_refused_with_what_there_is(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/json, image/png") as caught:
        negotiate(accept, BOTH)
    assert caught.value.details == {"offered": list(BOTH)}
