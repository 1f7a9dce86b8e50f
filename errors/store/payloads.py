"""Payloads at rest: zstd, against a sample of the same group where there is one.

Events of a group are much alike, so what differs from a sample is small: 0.7 KB instead of 3.3 KB for a 15 KB event, in
less time than without the sample.
"""

import threading
from collections import OrderedDict
from typing import Any

import zstandard

from errors.event import json_codec
from errors.models import ErrorEvent, EventPayload, PayloadDictionary

_LEVEL = 1
# Tables for payloads of unknown size take twice the memory and are no better.
_USUAL_SIZE = 32 * 1024
# 60 KB each, and 30 µs to make anew. Ready compressors are 8 µs faster, but take 235 KB each: of so few as fit into the
# same memory, the one that is wanted is missing too often.
_MOST_READY = 96
_LARGEST = 20 * 1024 * 1024
LARGEST_SAMPLE = 256 * 1024

_plain = threading.local()


class Sample:
    """A group's sample payload, to compress others against."""

    __slots__ = ("content", "id", "plain_size")

    def __init__(self, id: int, content: bytes, plain_size: int) -> None:
        self.id = id
        self.content = content
        self.plain_size = plain_size  # what the sample itself takes, compressed without help


_ready: OrderedDict[int, zstandard.ZstdCompressionDict] = OrderedDict()
_ready_lock = threading.Lock()


def _dictionary(sample: Sample) -> zstandard.ZstdCompressionDict:
    """With its tables, which any number of threads may read."""
    with _ready_lock:
        dictionary = _ready.get(sample.id)
        if dictionary is not None:
            _ready.move_to_end(sample.id)
            return dictionary
    dictionary = zstandard.ZstdCompressionDict(
        sample.content, dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    dictionary.precompute_compress(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            _LEVEL, source_size=_USUAL_SIZE, dict_size=len(sample.content)
        )
    )
    with _ready_lock:
        _ready[sample.id] = dictionary
        if len(_ready) > _MOST_READY:
            _ready.popitem(last=False)
    return dictionary


def pack(payload: bytes, sample: Sample | None = None) -> bytes:
    if sample is None:
        compressor = getattr(_plain, "compressor", None)
        if compressor is None:
            compressor = _plain.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    else:
        compressor = zstandard.ZstdCompressor(dict_data=_dictionary(sample))
    return bytes(compressor.compress(payload))


def unpack(data: bytes, dictionary: bytes | None = None) -> bytes:
    if dictionary is None:
        return bytes(zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST))
    content = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return bytes(
        zstandard.ZstdDecompressor(dict_data=content).decompress(data, max_output_size=_LARGEST)
    )


def json_of(event: ErrorEvent) -> bytes:
    """The event as JSON, for a download. Raises EventPayload.DoesNotExist."""
    row = EventPayload.objects.get(pk=event.pk)
    if row.dictionary_id is None:
        return unpack(bytes(row.data))
    sample = PayloadDictionary.objects.get(pk=row.dictionary_id)
    return unpack(bytes(row.data), unpack(bytes(sample.content)))


def payload_of(event: ErrorEvent) -> dict[str, Any]:
    """The normalized event; its shape is described in errors.event.normalize."""
    payload = json_codec.decode(json_of(event))
    return payload if isinstance(payload, dict) else {}
