"""Read and decompress request bodies, and limit their size before and after decompression."""

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import deflate
import zstandard

from errors.exceptions import TooLarge, Unreadable, UnsupportedEncoding

MIB = 1024 * 1024
MAX_BODY_BYTES = 5 * MIB
MAX_DECOMPRESSED_BYTES = 20 * MIB
MAX_ENCODINGS = 2
_CHUNK = 64 * 1024


class Stream(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def read_stream(stream: Stream, content_length: str | None) -> bytes:
    """Return the whole body. `content_length` is None for a chunked body.

    Raises TooLarge if the body exceeds MAX_BODY_BYTES, and Unreadable if `content_length` is invalid or the body is
    shorter.
    """
    if content_length:
        try:
            length = int(content_length)
        except ValueError:
            raise Unreadable("Content-Length is not a number") from None
        if length < 0:
            raise Unreadable("Content-Length is negative")
        if length > MAX_BODY_BYTES:
            raise TooLarge(f"the body is larger than {MAX_BODY_BYTES // MIB} MiB")
        body = stream.read(length)
        if len(body) < length:  # A single read() may return only a part of the body.
            pieces = [body]
            missing = length - len(body)
            while missing and (piece := stream.read(missing)):
                pieces.append(piece)
                missing -= len(piece)
            if missing:
                raise Unreadable("the body ends before its Content-Length")
            body = b"".join(pieces)
        return body
    pieces, size = [], 0
    while piece := stream.read(_CHUNK):
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise TooLarge(f"the body is larger than {MAX_BODY_BYTES // MIB} MiB")
        pieces.append(piece)
    return b"".join(pieces)


def _decompress_in_steps(step: Callable[[bytes], bytes], body: bytes, limit: int) -> bytes:
    pieces, size = [], 0
    for start in range(0, len(body), 4096):
        piece = step(body[start : start + 4096])
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the decompressed body is larger than {limit // MIB} MiB")
        pieces.append(piece)
    return b"".join(pieces)


def _inflate(body: bytes, limit: int, window: int) -> bytes:
    """Decompress raw, zlib or gzip data. `window` selects the format, as in the module zlib.

    All members of a gzip file are decompressed. Raises TooLarge, Unreadable and zlib.error.
    """
    pieces, size = [], 0
    while body:
        stream = zlib.decompressobj(window)
        piece = stream.decompress(body, limit - size + 1)
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the decompressed body is larger than {limit // MIB} MiB")
        pieces.append(piece)
        if not stream.eof:
            raise Unreadable("the compressed body is incomplete")
        if stream.unused_data == body:
            break
        body = stream.unused_data
        if window != _GZIP or not body.startswith(b"\x1f\x8b"):
            break  # Padding may follow the last member of a gzip file.
    return b"".join(pieces) if len(pieces) != 1 else pieces[0]


_GZIP = 16 + zlib.MAX_WBITS
_MEMBER_START = b"\x1f\x8b\x08"  # Each member of a gzip file starts with these bytes.
_MAX_FAST_BYTES = 1024 * 1024


def _gzip(body: bytes, limit: int) -> bytes:
    """Decompress gzip data.

    A small body with one member takes a fast path: libdeflate is faster than zlib and does not release the GIL
    (docs/dependencies.md has figures).
    """
    size = int.from_bytes(body[-4:], "little")  # A gzip member ends with its decompressed size.
    if 0 < size <= min(limit, _MAX_FAST_BYTES) and body.find(_MEMBER_START, 1) < 0:
        try:
            return bytes(deflate.gzip_decompress(body, size))
        except (deflate.DeflateError, ValueError):
            pass  # Let zlib try again below, because its error messages are clearer.
    return _inflate(body, limit, _GZIP)


def _deflate(body: bytes, limit: int) -> bytes:
    try:
        return _inflate(body, limit, zlib.MAX_WBITS)
    except zlib.error:  # Some clients omit the zlib wrapper.
        return _inflate(body, limit, -zlib.MAX_WBITS)


def _brotli(body: bytes, limit: int) -> bytes:
    stream = brotli.Decompressor()
    decompressed = stream.process(body, output_buffer_limit=limit + 1)
    while len(decompressed) <= limit and not stream.is_finished():
        piece = stream.process(b"", output_buffer_limit=limit + 1 - len(decompressed))
        if not piece:
            raise Unreadable("the compressed body is incomplete")
        decompressed += piece
    if len(decompressed) > limit:
        raise TooLarge(f"the decompressed body is larger than {limit // MIB} MiB")
    return bytes(decompressed)


def _zstd(body: bytes, limit: int) -> bytes:
    stream = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
    decompressed = _decompress_in_steps(stream.decompress, body, limit)
    if not stream.eof:
        raise Unreadable("the compressed body is incomplete")
    return decompressed


_DECOMPRESSORS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


SUPPORTED_ENCODINGS = tuple(_DECOMPRESSORS)


def decompress(body: bytes, encoding: str, limit: int = MAX_DECOMPRESSED_BYTES) -> bytes:
    """Decompress a body. `encoding` is its Content-Encoding: encodings in the order in which they were applied.

    Raises UnsupportedEncoding for an unknown encoding or more than MAX_ENCODINGS of them, TooLarge for a result over
    `limit` bytes, and Unreadable for invalid data.
    """
    names = [name.strip().lower() for name in encoding.split(",")]
    applied = [name for name in names if name not in ("", "identity")]
    unsupported = [name for name in applied if name not in _DECOMPRESSORS]
    if unsupported or len(applied) > MAX_ENCODINGS:
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding[:100]!r} is not supported: send one or two of"
            f" {', '.join(SUPPORTED_ENCODINGS)}, or identity"
        )
    for name in reversed(applied) if body else ():
        try:
            body = _DECOMPRESSORS[name](body, limit)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Unreadable(f"the body is not readable as {name}: {error}") from error
    return body
