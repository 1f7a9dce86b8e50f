"""Test that frames show paths as in the repository, and that code from libraries is recognized."""

import pytest

from errors.source_maps.frames import is_in_app, is_minified, source_path
from errors.source_maps.lookup import path_of


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("webpack://shop/./src/cart.js", "src/cart.js"),
        ("webpack:///./src/cart.js?5c2a", "src/cart.js"),
        ("webpack:///src/cart.js", "src/cart.js"),
        ("shop/./src/cart.js", "src/cart.js"),
        ("webpack:///./node_modules/babel-loader/lib!./src/cart.vue?vue&type=script", "src/cart.vue"),
        ("../../src/cart.js", "src/cart.js"),
        ("~/src/cart.js", "src/cart.js"),
        ("file:///srv/app/src/cart.js", "srv/app/src/cart.js"),
        ("https://shop.example/src/cart.js", "src/cart.js"),
        ("app:///src/cart.js", "src/cart.js"),
        ("cart.js", "cart.js"),
        ("webpack://", "webpack://"),
    ],
)  # fmt: skip
def test_a_source_is_shown_with_its_path_in_the_repository(source: str, path: str) -> None:
    assert source_path(source) == path


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("src/cart.js", True),
        ("src/node_modules.js", True),
        ("node_modules/react/index.js", False),
        ("packages/shop/node_modules/react/index.js", False),
        ("webpack/bootstrap", False),
    ],
)
def test_library_code_does_not_count_as_code_of_the_app(path: str, own: bool) -> None:
    assert is_in_app(path) is own


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"filename": "https://shop.example/app.js", "lineno": 1, "colno": 20}, True),
        ({"filename": "app.js", "lineno": 1, "colno": None}, False),
        ({"filename": "app.js", "lineno": True, "colno": 20}, False),
        ({"filename": "app.js", "lineno": 0, "colno": 20}, False),
        ({"abs_path": "node:internal/process", "lineno": 1, "colno": 20}, False),
        ({"filename": "app.js", "lineno": 1, "colno": 20, "platform": "native"}, False),
        ({"lineno": 1, "colno": 20}, False),
    ],
)
def test_only_locations_in_scripts_are_looked_up(frame: dict[str, object], expected: bool) -> None:
    assert is_minified(frame, "javascript") is expected
    assert not is_minified(frame, "python")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://shop.example/static/app.js?v=3#x", "/static/app.js"),
        ("http://[Filtered]:8302/app.js", "/app.js"),
        ("app:///main.jsbundle", "/main.jsbundle"),
        ("~/static/app.js", "/static/app.js"),
        ("/srv/app.js", "/srv/app.js"),
        ("app.js", "/app.js"),
    ],
)
def test_scripts_are_compared_by_path(url: str, path: str) -> None:
    assert path_of(url) == path
