# ruff: noqa: UP031  (templates with many numbers read better with %)
"""Measure the limit of the load generator against a trivial server on this machine."""

import gzip
import json
import os
import select
import signal
import socket

from bench.ingest_load.report import run
from bench.ingest_load.requests import Requests


def trivial_server(sock):
    """Answer each request with 200 and a fixed body, in one epoll loop. Only Content-Length is supported."""
    resp = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ep = select.epoll()
    sock.setblocking(False)
    ep.register(sock.fileno(), select.EPOLLIN)
    conns = {}
    while True:
        for fd, _ev in ep.poll():
            if fd == sock.fileno():
                try:
                    c, _ = sock.accept()
                except BlockingIOError:
                    continue
                c.setblocking(False)
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                conns[c.fileno()] = [c, 0]
                ep.register(c.fileno(), select.EPOLLIN)
                continue
            st = conns[fd]
            try:
                data = st[0].recv(262144)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                ep.unregister(fd)
                st[0].close()
                del conns[fd]
                continue
            if st[1] <= 0:
                end = data.index(b"\r\n\r\n")
                at = data.index(b"Content-Length: ") + 16
                st[1] = end + 4 + int(data[at : data.index(b"\r\n", at)])
            st[1] -= len(data)
            if st[1] <= 0:
                st[0].send(resp)


def selftest(options):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    s.listen(512)
    port = s.getsockname()[1]
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            trivial_server(s)
        finally:
            os._exit(0)
    s.close()
    try:
        # Check that the prepared gzip streams are valid.
        options.dsn = "http://key@127.0.0.1:%d/1" % port
        options.encoding = "gzip"
        r = Requests(options, "x", "/", "k")
        for _ in range(50):
            event_id, buffers, _total = r.make()
            body = b"".join(buffers).split(b"\r\n\r\n", 1)[1]
            lines = gzip.decompress(body).split(b"\n")
            assert json.loads(lines[0])["event_id"] == event_id == json.loads(lines[2])["event_id"]
            assert json.loads(lines[1])["length"] == len(lines[2])
        for size in ("small", "medium", "large"):
            for enc in ("gzip", "identity"):
                for n in (1, 8, 32):
                    (
                        options.size,
                        options.encoding,
                        options.connections,
                        options.events,
                        options.seconds,
                    ) = size, enc, n, 15000, 0
                    out = run(options)
                    print(
                        "%-6s %-8s %2d connections: %8.0f acked/s  p50 %.3f ms  p99 %.3f ms  (%d B raw, %d B wire)  client CPU %.2f"
                        % (
                            size,
                            enc,
                            n,
                            out["acked_per_s"],
                            out["p50_ms"],
                            out["p99_ms"],
                            out["mean_raw_bytes"],
                            out["mean_wire_bytes"],
                            out["client_cpu_share"],
                        )
                    )
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
