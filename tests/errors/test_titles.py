"""Test the culprit that is derived from an event's frames."""

import pytest

from errors.event.titles import culprit_of


@pytest.mark.parametrize(
    ("frame", "culprit"),
    [
        ({"module": "shop.views", "function": "pay"}, "shop.views in pay"),
        ({"filename": "app.js", "function": "?"}, "app.js"),
        ({"filename": "?", "function": "n"}, "n"),
        ({"filename": "<unknown>", "function": "<unknown>"}, ""),
        ({"module": "?", "filename": "app.js", "function": "n"}, "app.js in n"),
    ],
)
def test_a_culprit_names_only_what_is_known(frame: dict[str, str], culprit: str) -> None:
    event = {"exception": {"values": [{"stacktrace": {"frames": [frame]}}]}}
    assert culprit_of(event) == culprit
