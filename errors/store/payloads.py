"""Compress stored payloads with zstd, using the dictionary of their group if there is one.

The dictionary is an earlier payload of the group, without its user. Because the events of a group are similar,
payloads become much smaller with the dictionary, and compressing them is faster.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import zstandard

from errors.event import json_codec
from errors.models import ErrorEvent, ErrorGroup, EventPayload, PayloadDictionary

log = logging.getLogger(__name__)

_LEVEL = 1
# The compressor prepares its tables for this size. Tables for payloads of
# unknown size would take more memory and compress no better.
_USUAL_PAYLOAD_BYTES = 32 * 1024
# Limits the cache of prepared dictionaries. Caching whole compressors would save little more time, but each takes
# several times the memory. Fewer of them would fit, and the cache would miss more often.
MAX_PREPARED = 96
MAX_PAYLOAD_BYTES = 20 * 1024 * 1024
MAX_DICTIONARY_BYTES = 256 * 1024

_plain = threading.local()


class Dictionary:
    """A payload that is the compression dictionary for the other payloads of its group."""

    __slots__ = ("content", "id", "plain_size")

    def __init__(self, id: int, content: bytes, plain_size: int) -> None:
        self.id = id
        self.content = content
        # Size in bytes of `content` when compressed without a dictionary.
        self.plain_size = plain_size


_prepared_dictionaries: OrderedDict[int, zstandard.ZstdCompressionDict] = OrderedDict()
_prepared_lock = threading.Lock()


def _prepared(dictionary: Dictionary) -> zstandard.ZstdCompressionDict:
    """Return the dictionary with the compressor's tables, which are cached and shared by all threads."""
    with _prepared_lock:
        prepared = _prepared_dictionaries.get(dictionary.id)
        if prepared is not None:
            _prepared_dictionaries.move_to_end(dictionary.id)
            return prepared
    prepared = zstandard.ZstdCompressionDict(
        dictionary.content, dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    prepared.precompute_compress(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            _LEVEL, source_size=_USUAL_PAYLOAD_BYTES, dict_size=len(dictionary.content)
        )
    )
    with _prepared_lock:
        _prepared_dictionaries[dictionary.id] = prepared
        if len(_prepared_dictionaries) > MAX_PREPARED:
            _prepared_dictionaries.popitem(last=False)
    return prepared


def pack(payload: bytes, dictionary: Dictionary | None = None) -> bytes:
    if dictionary is None:
        compressor = getattr(_plain, "compressor", None)
        if compressor is None:
            compressor = _plain.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    else:
        compressor = zstandard.ZstdCompressor(dict_data=_prepared(dictionary))
    return bytes(compressor.compress(payload))


def unpack(data: bytes, dictionary: bytes | None = None) -> bytes:
    if dictionary is None:
        return bytes(
            zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_PAYLOAD_BYTES)
        )
    content = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return bytes(
        zstandard.ZstdDecompressor(dict_data=content).decompress(
            data, max_output_size=MAX_PAYLOAD_BYTES
        )
    )


def without_person(payload: bytes) -> bytes:
    """Return the payload without the members that an erasure replaces. If it has none of them, return it unchanged."""
    if b'"user"' not in payload:
        return payload
    value = json_codec.decode(payload)
    # Only a member of the payload itself is replaced, and not a "user" in another part, such as `extra`.
    if not isinstance(value, dict) or "user" not in value:
        return payload
    del value["user"]
    return json_codec.encode(value)


def json_of(event: ErrorEvent) -> bytes:
    """Return the JSON of the stored event. Raises EventPayload.DoesNotExist if the payload has been deleted."""
    row = EventPayload.objects.get(pk=event.pk)
    if row.dictionary_id is None:
        return unpack(bytes(row.data))
    dictionary = PayloadDictionary.objects.filter(pk=row.dictionary_id).first()
    if dictionary is None:
        _report_missing_dictionary(event.pk, row.dictionary_id)
        raise EventPayload.DoesNotExist
    return unpack(bytes(row.data), unpack(bytes(dictionary.content)))


def payload_of(event: ErrorEvent) -> dict[str, Any]:
    """Return the normalized event, whose shape errors.event.normalize describes.

    Raises EventPayload.DoesNotExist if the payload has been deleted.
    """
    payload = json_codec.decode(json_of(event))
    return payload if isinstance(payload, dict) else {}


def payloads_with(text: str, event_ids: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the id and payload of each event whose JSON contains the text, in no particular order."""
    wanted = json_codec.encode(text)[1:-1]
    for pk, body in _bodies(event_ids):
        if wanted in body:
            payload = json_codec.decode(body)
            if isinstance(payload, dict):
                yield pk, payload


def all_payloads(event_ids: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the id and the payload of each event whose payload is stored, in no particular order."""
    return payloads_with("", event_ids)


def _bodies(event_ids: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the JSON of each event whose payload is stored."""
    dictionaries: dict[int, bytes] = {}
    rows = EventPayload.objects.filter(pk__in=event_ids).values_list("pk", "dictionary_id", "data")
    for pk, dictionary_id, data in rows.iterator(chunk_size=100):
        if dictionary_id and dictionary_id not in dictionaries:
            dictionary = PayloadDictionary.objects.filter(pk=dictionary_id).first()
            if dictionary is None:
                _report_missing_dictionary(pk, dictionary_id)
                continue
            dictionaries[dictionary_id] = unpack(bytes(dictionary.content))
        yield pk, unpack(bytes(data), dictionaries[dictionary_id] if dictionary_id else None)


def drop_dictionaries(event_ids: Sequence[int]) -> None:
    """Compress stored payloads again, without a dictionary. Requires a transaction."""
    # Without the lock, an erasure of the payload that commits in the meantime would be undone.
    rows = EventPayload.objects.filter(pk__in=event_ids).select_for_update()
    locked = set(rows.order_by("pk").values_list("pk", flat=True))
    EventPayload.objects.bulk_update(
        [
            EventPayload(event_id=pk, dictionary=None, data=pack(body))
            for pk, body in _bodies(sorted(locked))
        ],
        ["dictionary", "data"],
    )


def _report_missing_dictionary(event_id: int, dictionary_id: int) -> None:
    """Log that the payload cannot be read, unless the event is being deleted with its group and its dictionary."""
    group = ErrorEvent.objects.filter(pk=event_id).values("group_id")
    if ErrorGroup.objects.filter(pk__in=group).exists():
        log.warning(
            "the dictionary of a payload is missing, so the payload cannot be read",
            extra={"event": event_id, "dictionary": dictionary_id},
        )
