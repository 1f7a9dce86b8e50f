# ruff: noqa: UP031  (templates with many numbers read better with %)
"""One run: what the server acknowledged, how quickly, and what that cost here."""

import gc
import json
import socket
import time
import urllib.parse

from bench.ingest_load.client import Client
from bench.ingest_load.requests import Requests


def pct(sorted_lat, p):
    if not sorted_lat:
        return None
    return sorted_lat[min(len(sorted_lat) - 1, int(p / 100 * len(sorted_lat)))]


def run(a):
    u = urllib.parse.urlsplit(a.dsn)
    key, host, port = u.username, u.hostname, u.port or 80
    base, _, project = u.path.rstrip("/").rpartition("/")
    path = a.path or f"{base}/api/{project}/{a.endpoint}/"
    t = time.time()
    reqs = Requests(a, a.host_header or "%s:%d" % (host, port), path, key)
    if a.events:
        ready = [reqs.make() for _ in range(a.events)]
    else:
        ready = [reqs.make() for _ in range(int(a.seconds * a.pregen_rate))]
    made_s = time.time() - t
    ran_out = [0]

    def source():
        yield from ready
        if not a.events:
            while True:  # only if the server is faster than --pregen-rate
                ran_out[0] += 1
                yield reqs.make()

    client = Client(
        (socket.gethostbyname(host), port),
        reqs,
        a.connections,
        a.rate,
        a.seconds,
        a.events,
        a.ids_out,
        a.dead_s,
    )
    wall_start = time.time()
    start, end, sent, cpu = client.run(source())
    gc.enable()
    elapsed = end - start
    lat = sorted(client.lat)
    acked = sum(n for s, n in client.statuses.items() if 200 <= s < 300)
    answered = sum(client.statuses.values())
    out = {
        "dsn_port": port,
        "connections": a.connections,
        "encoding": a.encoding,
        "size": a.size,
        "groups": a.groups,
        "zipf": a.zipf,
        "rate": a.rate,
        "sent": sent,
        "acked": acked,
        "non_2xx": answered - acked,
        "statuses": {str(k): v for k, v in sorted(client.statuses.items())},
        "errors": client.errors,
        "elapsed_s": round(elapsed, 3),
        "acked_per_s": round(acked / elapsed, 1),
        "p50_ms": None,
        "p95_ms": None,
        "p99_ms": None,
        "max_ms": None,
        "connects": client.connects,
        "mean_raw_bytes": round(reqs.raw_bytes / max(1, reqs.made)),
        "mean_wire_bytes": round(reqs.wire_bytes / max(1, reqs.made)),
        "client_cpu_s": round(cpu, 3),
        "client_cpu_share": round(cpu / elapsed, 3),
        "generate_s": round(made_s, 2),
        "made_while_running": ran_out[0],
        "started_at": wall_start,
    }
    if lat:
        out.update(
            p50_ms=round(pct(lat, 50) * 1e3, 3),
            p95_ms=round(pct(lat, 95) * 1e3, 3),
            p99_ms=round(pct(lat, 99) * 1e3, 3),
            max_ms=round(lat[-1] * 1e3, 3),
        )
    if a.ids_out:
        with open(a.ids_out, "w") as f:
            f.writelines("{}\t{}\n".format(*row) for row in client.log)
    return out


def show(out, as_json):
    if as_json:
        print(json.dumps(out))
        return
    print(
        "%(connections)d connections, %(encoding)s, %(size)s (mean %(mean_raw_bytes)d B raw, %(mean_wire_bytes)d B on the "
        "wire), %(groups)d groups" % out
    )
    print(
        "acked %(acked)d of %(sent)d in %(elapsed_s).2f s = %(acked_per_s).1f events/s;  non-2xx %(non_2xx)d, errors "
        "%(errors)s, statuses %(statuses)s" % out
    )
    print(
        "latency ms: p50 %(p50_ms)s  p95 %(p95_ms)s  p99 %(p99_ms)s  max %(max_ms)s;  connects %(connects)d, client CPU "
        "%(client_cpu_share).2f of a core" % out
    )
