# ruff: noqa: UP031  (templates with many numbers read better with %)
"""Run the load once and report what the server acknowledged, how fast, and the client's own CPU time."""

import gc
import json
import socket
import time
import urllib.parse

from bench.ingest_load.client import Client
from bench.ingest_load.requests import Requests


def percentile(sorted_latencies, percent):
    if not sorted_latencies:
        return None
    index = int(percent / 100 * len(sorted_latencies))
    return sorted_latencies[min(len(sorted_latencies) - 1, index)]


def run(options):
    url = urllib.parse.urlsplit(options.dsn)
    key, host, port = url.username, url.hostname, url.port or 80
    base, _, project = url.path.rstrip("/").rpartition("/")
    path = options.path or f"{base}/api/{project}/{options.endpoint}/"
    t = time.time()
    requests = Requests(options, options.host_header or "%s:%d" % (host, port), path, key)
    if options.events:
        ready = [requests.make() for _ in range(options.events)]
    else:
        ready = [requests.make() for _ in range(int(options.seconds * options.pregen_rate))]
    made_s = time.time() - t
    made_late = [0]

    def source():
        yield from ready
        if not options.events:
            while True:  # The loop only repeats if the server is faster than --pregen-rate.
                made_late[0] += 1
                yield requests.make()

    client = Client(
        (socket.gethostbyname(host), port),
        requests,
        options.connections,
        options.rate,
        options.seconds,
        options.events,
        options.ids_out,
        options.response_timeout,
    )
    wall_start = time.time()
    start, end, sent, cpu = client.run(source())
    gc.enable()
    elapsed = end - start
    latencies = sorted(client.latencies)
    acked = sum(n for s, n in client.statuses.items() if 200 <= s < 300)
    answered = sum(client.statuses.values())
    out = {
        "dsn_port": port,
        "connections": options.connections,
        "encoding": options.encoding,
        "size": options.size,
        "groups": options.groups,
        "zipf": options.zipf,
        "rate": options.rate,
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
        "mean_raw_bytes": round(requests.raw_bytes / max(1, requests.made)),
        "mean_wire_bytes": round(requests.wire_bytes / max(1, requests.made)),
        "client_cpu_s": round(cpu, 3),
        "client_cpu_share": round(cpu / elapsed, 3),
        "generate_s": round(made_s, 2),
        "made_while_running": made_late[0],
        "started_at": wall_start,
    }
    if latencies:
        out.update(
            p50_ms=round(percentile(latencies, 50) * 1e3, 3),
            p95_ms=round(percentile(latencies, 95) * 1e3, 3),
            p99_ms=round(percentile(latencies, 99) * 1e3, 3),
            max_ms=round(latencies[-1] * 1e3, 3),
        )
    if options.ids_out:
        with open(options.ids_out, "w") as f:
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
