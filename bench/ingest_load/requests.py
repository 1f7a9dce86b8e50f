# ruff: noqa: UP031  (templates with many numbers read better with %)
"""Create requests in advance, so that nothing is compressed during the measurement."""

import random
import struct
import time
import zlib
from bisect import bisect
from datetime import UTC, datetime

from bench.ingest_load.events import make_pool


def zipf_cdf(n, s):
    weights = [1 / (i + 1) ** s for i in range(n)]
    total, acc, cdf = sum(weights), 0, []
    for w in weights:
        acc += w / total
        cdf.append(acc)
    return cdf


class Requests:
    """A source of requests. `make()` returns the event id in hex, the buffers to send and their total length."""

    def __init__(self, options, host, path, key):
        # Event ids differ between runs, but bodies do not.
        self.rnd = random.Random(options.id_seed)
        self.pool = make_pool(options.groups, options.size, options.variants, options.seed)
        self.cdf = zipf_cdf(options.groups, options.zipf)
        self.gzip, self.store = options.encoding == "gzip", options.endpoint == "store"
        # Raw deflate streams, each with the uncompressed body, whose CRC is needed.
        self.compressed = []
        for row in self.pool:
            out = []
            for body in row:
                data = body
                if self.gzip:
                    c = zlib.compressobj(6, zlib.DEFLATED, -15)
                    data = c.compress(body) + c.flush()
                out.append((data, body))
            self.compressed.append(out)
        headers = (
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ingest-load/1\r\nX-Sentry-Auth: Sentry sentry_version=7,"
            "sentry_client=ingest-load/1,sentry_key={}\r\nContent-Type: {}\r\n{}Content-Length: ".format(
                path,
                host,
                key,
                "application/json" if self.store else "application/x-sentry-envelope",
                "Content-Encoding: gzip\r\n" if self.gzip else "",
            )
        )
        self.head = headers.encode()
        self.fingerprints = options.vary_message
        self.raw_bytes = self.wire_bytes = self.made = 0
        self.now_iso = None

    def make(self):
        rnd = self.rnd
        event_id = "%032x" % (rnd.getrandbits(128) & ~(0xF << 76) | (0x4 << 76))
        g = min(bisect(self.cdf, rnd.random()), len(self.compressed) - 1)
        data, body = rnd.choice(self.compressed[g])
        now = time.time()
        ts = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        opening = (
            '{"event_id":"%s","timestamp":"%s","user":{"id":"%d","ip_address":"10.%d.%d.%d"},'
            % (
                event_id,
                ts,
                rnd.randrange(5000),
                rnd.randrange(256),
                rnd.randrange(256),
                rnd.randrange(256),
            )
        ).encode()
        if self.fingerprints:
            opening += (
                '"fingerprint":["{{ default }}","%d"],' % rnd.randrange(self.fingerprints)
            ).encode()
        if not self.store:
            opening = (
                '{"event_id":"%s","sent_at":"%s"}\n{"type":"event","content_type":"application/json","length":%d}\n'
                % (event_id, ts, len(opening) + len(body))
            ).encode() + opening
        n_raw = len(opening) + len(body)
        if self.gzip:
            crc = zlib.crc32(body, zlib.crc32(opening))
            prefix = (
                b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
                + b"\x00"
                + struct.pack("<HH", len(opening), len(opening) ^ 0xFFFF)
                + opening
            )
            tail = struct.pack("<II", crc, n_raw & 0xFFFFFFFF)
            length = len(prefix) + len(data) + 8
            buffers = [self.head + b"%d\r\n\r\n" % length + prefix, data, tail]
        else:
            length = n_raw
            buffers = [self.head + b"%d\r\n\r\n" % length + opening, data]
        self.raw_bytes += n_raw
        self.wire_bytes += length
        self.made += 1
        return event_id, buffers, sum(map(len, buffers))
