"""Read OTLP requests and write responses, as protobuf or JSON: https://opentelemetry.io/docs/specs/otlp/#otlphttp."""

import base64
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from core.lib.http import BadRequest
from errors.event import json_codec
from errors.event.body import MIB, decompress
from errors.exceptions import Unreadable

MAX_DECOMPRESSED_BYTES = 8 * MIB
_MAX_DEPTH = 10

Request = TypeVar("Request", bound=Message)


class MediaType(StrEnum):
    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


def media_type_of(content_type: str) -> MediaType:
    """Return the media type of a request. Raises BadRequest (415) for unsupported types."""
    try:
        return MediaType(content_type.partition(";")[0].strip().lower())
    except ValueError:
        raise BadRequest(
            "send protobuf (application/x-protobuf) or JSON (application/json)", 415
        ) from None


def decode(body: bytes, encoding: str, media_type: MediaType, into: type[Request]) -> Request:
    """Decompress and parse the body of a request into a message of type `into`.

    Raises Unreadable if the body is not valid, TooLarge if it exceeds MAX_DECOMPRESSED_BYTES, and UnsupportedEncoding
    if the portal cannot decode `encoding`.
    """
    content = decompress(body, encoding, MAX_DECOMPRESSED_BYTES)
    message: Request = into()
    try:
        if media_type is MediaType.PROTOBUF:
            message.ParseFromString(content)
            return message
        given = json_codec.decode(content) if content.strip() else {}
        if not isinstance(given, dict):
            raise Unreadable("the body is not a JSON object")
        json_format.ParseDict(given, message, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"the body is not a valid {into.__name__}: {str(error)[:200]}") from None
    return message


def encode(message: Message, media_type: MediaType) -> bytes:
    if media_type is MediaType.PROTOBUF:
        content: bytes = message.SerializeToString()
        return content
    return str(json_format.MessageToJson(message, indent=None)).encode()


# Maps HTTP statuses to gRPC status codes:
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto.
_CODES = {400: 3, 401: 16, 403: 7, 405: 12, 413: 3, 415: 3, 429: 8, 503: 14}


def refusal(status: int, detail: str) -> Status:
    return Status(code=_CODES.get(status, 13), message=detail)


def id_of(raw: bytes) -> str:
    """Return a trace or span id in hex, or "" if it is missing or consists of zeros.

    OTLP's JSON form encodes ids in hex, but protobuf's JSON parser decodes them as base64, which yields 12 or 24 bytes
    instead of 8 or 16. Encoding these bytes in base64 again restores the hex digits.
    """
    text = base64.b64encode(raw).decode().lower() if len(raw) in (12, 24) else raw.hex()
    return text if text.strip("0") else ""


def clean(text: str) -> str:
    """Remove NUL characters, which PostgreSQL rejects."""
    return text.replace("\0", "")


def value_of(value: AnyValue, depth: int = 0) -> Any:
    """Convert an attribute's value or a log body to JSON types. Values nested below _MAX_DEPTH become None."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        if depth >= _MAX_DEPTH:
            return None
        return [value_of(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values, depth + 1) if depth < _MAX_DEPTH else None
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return clean(value.string_value) if kind == "string_value" else getattr(value, kind)


def attributes_of(pairs: Iterable[KeyValue], depth: int = 0) -> dict[str, Any]:
    """Convert attributes to a dict whose values have JSON types."""
    found: dict[str, Any] = {}
    for pair in pairs:
        found[clean(pair.key)] = value_of(pair.value, depth)
    return found
