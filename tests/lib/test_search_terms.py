import pytest

from core.lib.search_terms import Term, complete, describe_unknown_key, parse, quote

KEYS = {"app": "App", "release": "Release", "reservation": "Reservation"}
VALUES = {"app": ["shop", "gate"], "release": ["1.4", "two words"]}


def suggest(typed: str) -> tuple[int, list[str]]:
    found = complete(
        typed,
        keys=KEYS,
        values_of=lambda key, prefix: [v for v in VALUES.get(key, []) if v.startswith(prefix)],
    )
    return found.start, [one.text for one in found.suggestions]


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("card declined", [Term("card"), Term("declined")]),
        ("-app:shop", [Term("shop", "app", True)]),
        ('app:"two words" x', [Term("two words", "app"), Term("x")]),
        ('"app:shop"', [Term("app:shop")]),
        ("https://shop.example/a", [Term("https://shop.example/a")]),
        ('say:"a \\"b\\""', [Term('a "b"', "say")]),
    ],
)
def test_queries_are_split_into_words_and_filters(query: str, terms: list[Term]) -> None:
    assert parse(query) == terms


@pytest.mark.parametrize(
    ("typed", "start", "texts"),
    [
        ("", 0, ["app:", "release:", "reservation:"]),
        ("re", 0, ["release:", "reservation:"]),
        ("card -re", 5, ["-release:", "-reservation:"]),
        ("app:", 0, ["app:shop ", "app:gate "]),
        ("card app:g", 5, ["app:gate "]),
        ("release:two", 0, ['release:"two words" ']),
        ('release:"two w', 0, ['release:"two words" ']),
        ("nothing:", 0, []),
        ('"card re', 0, []),
    ],
)
def test_the_last_term_is_completed(typed: str, start: int, texts: list[str]) -> None:
    assert suggest(typed) == (start, texts)


@pytest.mark.parametrize("value", ["plain", "two words", 'a "b" c', "a:b"])
def test_a_quoted_value_is_read_unchanged(value: str) -> None:
    assert parse(f"key:{quote(value)}") == [Term(value, "key")]


def test_an_unknown_key_is_reported_with_the_most_similar_known_one() -> None:
    assert "did you mean release:1.4" in describe_unknown_key("releases", "1.4", KEYS)
    assert 'write "error:404"' in describe_unknown_key("error", "404", KEYS)
