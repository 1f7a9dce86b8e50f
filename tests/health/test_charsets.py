"""Test that monitors decode the text of a response with its declared charset."""

import pytest

from health.checking.charsets import decode_body

WORD = "Verfügbar"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=iso-8859-1", WORD.encode("latin-1")),
        ('text/html; charset="UTF-8"', WORD.encode()),
        ("text/html", WORD.encode()),
        ("text/html", WORD.encode("utf-8-sig")),
        ("text/html", WORD.encode("utf-16")),
        ("text/html", b"<head><meta charset=windows-1252>" + WORD.encode("cp1252")),
        ("text/html", b"<META  name=x CHARSET='latin1'>" + WORD.encode("latin-1")),
        (
            "text/html",
            b'<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-15">'
            + WORD.encode("latin-1"),
        ),
        ("text/xml", b'<?xml version="1.0" encoding="ISO-8859-1"?>' + WORD.encode("latin-1")),
        # A wrong or unknown declaration, or one in a comment, does not count.
        ("text/html", b"<meta charset=utf-16>" + WORD.encode()),
        ("text/html", b"<meta charset=x-unknown>" + WORD.encode()),
        ("text/html", b"<meta charset=hex>" + WORD.encode()),
        ("text/html", b"<meta charset=idna>" + WORD.encode()),
        ("text/html", b"<!-- <meta charset=latin1> -->" + WORD.encode()),
        ("text/html; charset=x-unknown", b"<meta charset=latin1>" + WORD.encode("latin-1")),
    ],
)
def test_text_is_decoded_in_its_declared_charset(content_type: str, body: bytes) -> None:
    assert decode_body(body, content_type).endswith(WORD)


def test_the_header_takes_precedence_over_the_page() -> None:
    body = b"<meta charset=latin1>" + WORD.encode()
    assert decode_body(body, "text/html; charset=utf-8").endswith(WORD)


def test_latin_1_is_decoded_as_windows_1252() -> None:
    assert decode_body(b"100 \x80", "text/html; charset=iso-8859-1") == "100 €"


def test_invalid_bytes_are_replaced() -> None:
    assert decode_body(b"a\xffb", "") == "a�b"
