"""Decode the body of a web page as a browser would. All functions are pure."""

import codecs
import re

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([\w:.+-]+)", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w:.+-]+)", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w:.+-]+)", re.IGNORECASE)
# Pages that declare these encodings use the Windows code page. See https://encoding.spec.whatwg.org/#names-and-labels.
_MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252"}
MAX_PROLOGUE_BYTES = 4096


def decode_body(body: bytes, content_type: str) -> str:
    """Decode a body by its byte order mark, `Content-Type` header, `<meta>` tag or XML declaration.

    The first encoding found is used, or else UTF-8. Invalid bytes become U+FFFD.
    """
    return body.decode(_encoding(body, content_type), errors="replace")


def _encoding(body: bytes, content_type: str) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return encoding
    prologue = _COMMENT.sub(b"", body[:MAX_PROLOGUE_BYTES])
    in_header, in_meta, in_xml = (
        _IN_HEADER.search(content_type),
        _META.search(prologue),
        _XML.search(prologue),
    )
    if in_header and (encoding := _known_encoding(in_header[1])):
        return encoding
    for declared in (in_meta, in_xml):
        if declared and (encoding := _known_encoding(declared[1].decode())):
            # The declaration was readable as ASCII, so the body is not in UTF-16 or UTF-32, whatever the declaration
            # says.
            return "utf-8" if encoding.startswith(("utf-16", "utf-32")) else encoding
    return "utf-8"


def _known_encoding(label: str) -> str:
    """Return the name of Python's codec for a label, or "" if Python has no such text encoding."""
    try:
        name = codecs.lookup(label).name
        # This raises LookupError for codecs of Python that are not text encodings.
        b"a".decode(name, errors="replace")
    except (LookupError, UnicodeError):
        return ""
    return _MEANT.get(name, name)
