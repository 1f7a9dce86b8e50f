"""Compress stored payloads with zstd, using the dictionary of their group if there is one.

The dictionary is an earlier payload of the group. Events of a group are similar, so a payload of 15 KB takes 0.7 KB
with the dictionary instead of 3.3 KB, and compresses faster.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import zstandard

from errors.event import json_codec
from errors.models import ErrorEvent, EventPayload, PayloadDictionary

_LEVEL = 1
# The compressor prepares its tables for this size. For payloads of unknown
# size, the tables would take twice the memory and compress no better.
_USUAL_PAYLOAD_BYTES = 32 * 1024
# A prepared dictionary takes 60 KB of memory and 30 µs to prepare. Caching the whole compressor would save another 8
# µs, but take 235 KB. Fewer dictionaries would fit into the same memory, and the cache would miss too often.
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
        # This is the compressed size of `content` without a dictionary.
        self.plain_size = plain_size


_prepared_dictionaries: OrderedDict[int, zstandard.ZstdCompressionDict] = OrderedDict()
_prepared_lock = threading.Lock()


def _prepared(dictionary: Dictionary) -> zstandard.ZstdCompressionDict:
    """Return the dictionary with the compressor's tables, which threads may share."""
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


def json_of(event: ErrorEvent) -> bytes:
    """Return the JSON of the event. Raises EventPayload.DoesNotExist if the payload has been deleted."""
    row = EventPayload.objects.get(pk=event.pk)
    if row.dictionary_id is None:
        return unpack(bytes(row.data))
    dictionary = PayloadDictionary.objects.get(pk=row.dictionary_id)
    return unpack(bytes(row.data), unpack(bytes(dictionary.content)))


def payload_of(event: ErrorEvent) -> dict[str, Any]:
    """Return the normalized event, whose shape errors.event.normalize describes.

    Raises EventPayload.DoesNotExist if the payload has been deleted.
    """
    payload = json_codec.decode(json_of(event))
    return payload if isinstance(payload, dict) else {}


def payloads_with(text: str, event_ids: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the id and payload of each event whose payload contains the text in a JSON string."""
    wanted = json_codec.encode(text)[1:-1]
    for pk, body in _bodies(event_ids):
        if wanted in body:
            payload = json_codec.decode(body)
            if isinstance(payload, dict):
                yield pk, payload


def all_payloads(event_ids: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the id and the payload of each event."""
    return payloads_with("", event_ids)


def _bodies(event_ids: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the JSON of each event."""
    dictionaries: dict[int, bytes] = {}
    rows = EventPayload.objects.filter(pk__in=event_ids).values_list("pk", "dictionary_id", "data")
    for pk, dictionary_id, data in rows.iterator(chunk_size=100):
        if dictionary_id and dictionary_id not in dictionaries:
            dictionary = PayloadDictionary.objects.filter(pk=dictionary_id).first()
            if dictionary is None:
                continue  # The group has just been deleted, and its events are being deleted.
            dictionaries[dictionary_id] = unpack(bytes(dictionary.content))
        yield pk, unpack(bytes(data), dictionaries[dictionary_id] if dictionary_id else None)
