#!/usr/bin/env python3
# ruff: noqa
"""Load generator for Sentry-envelope ingestion endpoints.  Standard library only, one process, one epoll loop.

It posts realistic Python and JavaScript exception events to a DSN over N keep-alive connections and reports what the
server acknowledged: events/s, latency percentiles, statuses, and (with --ids-out) every event id with its status, so
that acknowledged ids can be compared with stored ids afterwards.

    python ingest_load.py --dsn http://KEY@127.0.0.1:8000/1 --connections 8 --seconds 10
    python ingest_load.py --dsn ... --events 20000 --size medium --encoding gzip --groups 200 --ids-out ids.tsv --json
    python ingest_load.py --selftest          # the ceiling of this client against a trivial server on this machine

Sizes (mean, raw / gzip on the wire): see --selftest.

Notes
* Everything is made before the clock starts: a pool of event bodies (a few variants per group) and, per event, a short
  unique prefix (event id, timestamp, user, trace id) that is sent in front of the shared body with one sendmsg().  With
  gzip the prefix is a stored deflate block and the body a ready-made deflate stream, so that each request is one valid
  single-member gzip stream with its own CRC, at no compression cost while the clock runs.
* Latency is first byte sent (or, with --rate, the moment the event was due; or the connect, where the server closed
  the connection) to last byte of the response.
* "acked" = a 2xx response read in full.
"""

import argparse
import array
import errno
import gc
import gzip
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time
import urllib.parse
import zlib
from bisect import bisect
from datetime import datetime, timezone

# ---------------------------------------------------------------------------------------------- events

LIB_FRAMES = [
    ("django/core/handlers/exception.py", "inner", "response = get_response(request)"),
    (
        "django/core/handlers/base.py",
        "_get_response",
        "response = wrapped_callback(request, *callback_args)",
    ),
    (
        "django/utils/decorators.py",
        "_wrapper_view",
        "response = view_func(request, *args, **kwargs)",
    ),
    (
        "django/views/decorators/csrf.py",
        "_view_wrapper",
        "return view_func(request, *args, **kwargs)",
    ),
    ("django/views/generic/base.py", "view", "return self.dispatch(request, *args, **kwargs)"),
    ("rest_framework/views.py", "dispatch", "response = handler(request, *args, **kwargs)"),
    (
        "django/contrib/auth/decorators.py",
        "_view_wrapper",
        "return view_func(request, *args, **kwargs)",
    ),
    ("django/db/transaction.py", "inner", "return func(*args, **kwds)"),
    (
        "django/db/models/manager.py",
        "manager_method",
        "return getattr(self.get_queryset(), name)(*args, **kwargs)",
    ),
    ("django/db/models/query.py", "get", "raise self.model.DoesNotExist("),
    ("django/db/models/sql/compiler.py", "execute_sql", "cursor.execute(sql, params)"),
    (
        "django/db/backends/utils.py",
        "execute",
        "return self._execute_with_wrappers(sql, params, many=False)",
    ),
    (
        "django/db/backends/utils.py",
        "_execute_with_wrappers",
        "return executor(sql, params, many, context)",
    ),
    ("psycopg/cursor.py", "execute", "raise ex.with_traceback(None)"),
    (
        "stripe/_http_client.py",
        "request_with_retries",
        "raise error.APIConnectionError(msg) from e",
    ),
    ("urllib3/connectionpool.py", "urlopen", "response = self._make_request("),
    ("requests/adapters.py", "send", "resp = conn.urlopen("),
    ("redis/connection.py", "read_response", "response = self._parser.read_response("),
]
APPS = [
    "checkout",
    "payments",
    "reservations",
    "tickets",
    "accounts",
    "catalog",
    "search",
    "notifications",
    "reports",
    "webhooks",
    "inventory",
    "shipping",
]
FUNCS = [
    "create_order",
    "hold_seats",
    "capture_payment",
    "send_receipt",
    "sync_inventory",
    "apply_coupon",
    "release_hold",
    "render_ticket",
    "refresh_index",
    "export_csv",
    "verify_signature",
    "load_profile",
]
EXC = [
    ("IntegrityError", 'duplicate key value violates unique constraint "%s_pkey"'),
    ("DoesNotExist", "%s matching query does not exist."),
    ("KeyError", "'%s_id'"),
    ("ValueError", "invalid literal for int() with base 10: '%s'"),
    ("OperationalError", "canceling statement due to statement timeout in %s"),
    ("APIConnectionError", "Unexpected error communicating with Stripe while handling %s"),
    ("TimeoutError", "HTTPSConnectionPool: Read timed out while calling %s"),
    ("AttributeError", "'NoneType' object has no attribute '%s'"),
    ("PermissionDenied", "You do not have permission to change %s"),
    ("TypeError", "unsupported operand type(s) for +: 'Decimal' and 'float' in %s"),
]
JS_EXC = [
    ("TypeError", "Cannot read properties of undefined (reading '%s')"),
    ("ReferenceError", "%s is not defined"),
    ("ChunkLoadError", "Loading chunk %s failed."),
    ("Error", "Request failed with status code 502 (%s)"),
    ("SyntaxError", "Unexpected token < in JSON: %s"),
]
WORDS = (
    "order seat ticket price user session token cart item event venue total amount currency status hold payload "
    "request response client retry attempt config cursor result value data context queue task signature"
).split()
MODULES = {("package-%02d" % i): "%d.%d.%d" % (i % 7, i % 13, i % 5) for i in range(70)}
UAS = [
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 "
    "Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
]
# frames, share of JavaScript groups, frames with local variables, variables a frame, breadcrumbs, context lines
SIZES = {
    "small": (20, 0.6, 0, 0, 5, 0),
    "medium": (25, 0.3, 4, 4, 14, 1),
    "large": (36, 0.15, 18, 5, 30, 3),
}


def code_line(rnd):
    a, b, c = rnd.choice(WORDS), rnd.choice(WORDS), rnd.choice(WORDS)
    return rnd.choice(
        [
            "        %s = self.%s(%s, retry=True)",
            "        if %s.%s is None and %s:",
            "            return %s.%s.filter(%s=value)",
            "        logger.info('%s %s', %s)",
            "        with transaction.atomic(): %s[%s] = %s",
        ]
    ) % (a, b, c)


def var_value(rnd):
    return rnd.choice(
        [
            "<%s: %s object (%d)>"
            % (rnd.choice(WORDS).title(), rnd.choice(WORDS), rnd.randrange(10**6)),
            str(rnd.randrange(10**9)),
            "'%s-%s-%08x'" % (rnd.choice(WORDS), rnd.choice(WORDS), rnd.getrandbits(32)),
            "None",
            {"id": str(rnd.randrange(10**6)), "status": "'%s'" % rnd.choice(WORDS)},
        ]
    )


def python_event(group, variant, size, rnd_g, rnd):
    n_frames, _, n_vars, vars_each, n_crumbs, n_ctx = SIZES[size]
    app, func = rnd_g.choice(APPS), rnd_g.choice(FUNCS)
    etype, evalue = rnd_g.choice(EXC)
    n_frames = rnd_g.randint(int(n_frames * 0.8), int(n_frames * 1.2))
    frames = []
    for i in range(n_frames):
        if i < n_frames * 0.7:
            path, fn, line = LIB_FRAMES[(i + group) % len(LIB_FRAMES)] if i > 5 else LIB_FRAMES[i]
            in_app = False
        else:
            path = "%s/%s.py" % (
                app if i == n_frames - 1 else rnd_g.choice(APPS),
                rnd_g.choice(["views", "services", "models", "tasks", "utils"]),
            )
            fn, line, in_app = (
                ("%s_%d" % (func, group)) if i == n_frames - 1 else rnd_g.choice(FUNCS),
                code_line(rnd_g).strip(),
                True,
            )
        frame = {
            "filename": path,
            "abs_path": ("/srv/portal/" if in_app else "/srv/venv/lib/python3.11/site-packages/")
            + path,
            "function": fn,
            "module": path[:-3].replace("/", "."),
            "lineno": rnd_g.randrange(10, 900),
            "in_app": in_app,
        }
        if n_ctx:
            frame["pre_context"] = [code_line(rnd_g) for _ in range(n_ctx)]
            frame["context_line"] = "        " + line
            frame["post_context"] = [code_line(rnd_g) for _ in range(n_ctx)]
        if i >= n_frames - n_vars:
            frame["vars"] = {
                "%s_%d" % (rnd_g.choice(WORDS), k): var_value(rnd) for k in range(vars_each)
            }
        frames.append(frame)
    now = time.time()
    return {
        "platform": "python",
        "level": "error",
        "logger": None,
        "transaction": "/api/v1/%s/%s/%d/" % (app, func, group),
        "exception": {
            "values": [
                {
                    "module": None,
                    "type": "%s" % etype,
                    "value": evalue % ("%s_%d" % (func, group)),
                    "mechanism": {"type": "django", "handled": False},
                    "stacktrace": {"frames": frames},
                }
            ]
        },
        "breadcrumbs": {
            "values": [
                {
                    "type": "default",
                    "category": rnd.choice(["query", "httplib", "redis", "django.security"]),
                    "level": "info",
                    "message": "SELECT %s FROM %s WHERE %s = %%s LIMIT 21"
                    % (rnd.choice(WORDS), rnd.choice(WORDS), rnd.choice(WORDS)),
                    "timestamp": now - 30 + k * 0.5,
                    "data": {"db.system": "postgresql"},
                }
                for k in range(n_crumbs)
            ]
        },
        "request": {
            "url": "https://portal.example/api/v1/%s/%s/" % (app, func),
            "method": rnd.choice(["GET", "POST"]),
            "query_string": "page=%d" % rnd.randrange(50),
            "headers": {
                "Host": "portal.example",
                "User-Agent": rnd.choice(UAS),
                "Accept": "application/json",
                "X-Request-Id": "%032x" % rnd.getrandbits(128),
            },
            "env": {"SERVER_NAME": "portal.example", "SERVER_PORT": "443"},
        },
        "tags": {
            "region": rnd.choice(["eu-west", "us-east", "ap-south"]),
            "tenant": "tenant-%d" % rnd.randrange(20),
            "queue": rnd.choice(["default", "mail", "reports"]),
        },
        "contexts": {
            "runtime": {"name": "CPython", "version": "3.11.9", "build": "3.11.9 (main)"},
            "os": {"name": "Linux", "version": "6.1"},
        },
        "extra": {"sys.argv": ["granian", "--interface", "wsgi", "portal.wsgi"]},
        "modules": MODULES if size != "small" else {},
        "release": "portal@1.%d.0" % rnd.randrange(6),
        "environment": rnd.choice(["production", "production", "production", "staging"]),
        "server_name": "web-%d" % rnd.randrange(6),
        "sdk": {
            "name": "sentry.python.django",
            "version": "2.20.0",
            "packages": [{"name": "pypi:sentry-sdk", "version": "2.20.0"}],
            "integrations": [
                "argv",
                "atexit",
                "dedupe",
                "django",
                "excepthook",
                "logging",
                "modules",
                "redis",
                "stdlib",
                "threading",
            ],
        },
    }


def javascript_event(group, variant, size, rnd_g, rnd):
    n_frames, _, _, _, n_crumbs, n_ctx = SIZES[size]
    app, func = rnd_g.choice(APPS), rnd_g.choice(FUNCS)
    etype, evalue = rnd_g.choice(JS_EXC)
    n_frames = rnd_g.randint(int(n_frames * 0.8), int(n_frames * 1.2))
    now = time.time()
    frames = [
        {
            "filename": "https://portal.example/static/js/%s.%08x.js"
            % (rnd_g.choice(["main", "vendor", "runtime", app]), rnd_g.getrandbits(32)),
            "function": rnd_g.choice(
                [
                    "t.%s" % rnd_g.choice(FUNCS),
                    "Object.%s" % rnd_g.choice(WORDS),
                    "commitRoot",
                    "dispatchEvent",
                    "e.<anonymous>",
                ]
            ),
            "in_app": True,
            "lineno": 1,
            "colno": rnd_g.randrange(100, 90000),
        }
        for _ in range(n_frames)
    ]
    frames[-1]["function"] = "%s_%d" % (func, group)
    return {
        "platform": "javascript",
        "level": "error",
        "exception": {
            "values": [
                {
                    "type": etype,
                    "value": evalue % ("%s_%d" % (func, group)),
                    "mechanism": {"type": "onerror", "handled": False},
                    "stacktrace": {"frames": frames},
                }
            ]
        },
        "transaction": "/%s/%s/%d" % (app, func, group),
        "breadcrumbs": [
            {
                "timestamp": now - 60 + k,
                "category": rnd.choice(["ui.click", "fetch", "console", "navigation"]),
                "message": 'div#root > main.%s > form.%s > button.%s[type="submit"]'
                % (rnd.choice(WORDS), rnd.choice(WORDS), rnd.choice(WORDS)),
                "data": {
                    "url": "/api/v1/%s/%d" % (rnd.choice(APPS), rnd.randrange(10**5)),
                    "status_code": rnd.choice([200, 200, 404, 502]),
                    "method": "GET",
                },
            }
            for k in range(n_crumbs * 2)
        ],
        "request": {
            "url": "https://portal.example/%s/%s" % (app, func),
            "headers": {
                "User-Agent": rnd.choice(UAS),
                "Referer": "https://portal.example/%s" % rnd.choice(APPS),
            },
        },
        "tags": {
            "region": rnd.choice(["eu-west", "us-east", "ap-south"]),
            "locale": rnd.choice(["de", "en", "fr"]),
        },
        "contexts": {
            "browser": {"name": "Chrome", "version": "129.0.0"},
            "os": {"name": "Mac OS X", "version": "10.15.7"},
        },
        "release": "web@2.%d.0" % rnd.randrange(6),
        "environment": "production",
        "sdk": {
            "name": "sentry.javascript.react",
            "version": "8.33.1",
            "packages": [{"name": "npm:@sentry/react", "version": "8.33.1"}],
            "integrations": [
                "InboundFilters",
                "FunctionToString",
                "BrowserApiErrors",
                "Breadcrumbs",
                "GlobalHandlers",
                "LinkedErrors",
                "Dedupe",
                "HttpContext",
                "BrowserSession",
            ],
        },
    }


def make_pool(groups, size, variants, seed):
    """[(group, body without its opening brace), ...]: every body is one JSON object that lacks its leading '{'"""
    pool = []
    js_share = SIZES[size][1]
    for g in range(groups):
        is_js = random.Random(seed * 7919 + g).random() < js_share
        row = []
        for v in range(variants):
            rnd_g = random.Random(seed * 1000003 + g)  # what is the same for all events of a group
            rnd = random.Random((seed * 1000003 + g) * 31 + v + 1)
            ev = (javascript_event if is_js else python_event)(g, v, size, rnd_g, rnd)
            row.append(json.dumps(ev, separators=(",", ":")).encode()[1:])
        pool.append(row)
    return pool


def zipf_cdf(n, s):
    weights = [1 / (i + 1) ** s for i in range(n)]
    total, acc, cdf = sum(weights), 0, []
    for w in weights:
        acc += w / total
        cdf.append(acc)
    return cdf


class Requests:
    """Ready-made requests.  get(i) -> (event id hex, [buffers], total length)"""

    def __init__(self, a, host, path, key):
        self.rnd = random.Random(a.id_seed)  # ids: new for each run; bodies: the same
        self.pool = make_pool(a.groups, a.size, a.variants, a.seed)
        self.cdf = zipf_cdf(a.groups, a.zipf)
        self.gzip, self.store = a.encoding == "gzip", a.endpoint == "store"
        # deflate streams of the bodies (raw), their CRCs
        self.flat = []
        for row in self.pool:
            out = []
            for body in row:
                data, crc = body, 0
                if self.gzip:
                    c = zlib.compressobj(6, zlib.DEFLATED, -15)
                    data = c.compress(body) + c.flush()
                out.append((data, body))
            self.flat.append(out)
        headers = (
            "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ingest-load/1\r\nX-Sentry-Auth: Sentry sentry_version=7,"
            "sentry_client=ingest-load/1,sentry_key=%s\r\nContent-Type: %s\r\n%sContent-Length: "
            % (
                path,
                host,
                key,
                "application/json" if self.store else "application/x-sentry-envelope",
                "Content-Encoding: gzip\r\n" if self.gzip else "",
            )
        )
        self.head = headers.encode()
        self.vary = a.vary_message
        self.raw_bytes = self.wire_bytes = self.made = 0
        self.now_iso = None

    def make(self):
        rnd = self.rnd
        eid = "%032x" % (rnd.getrandbits(128) & ~(0xF << 76) | (0x4 << 76))
        g = min(bisect(self.cdf, rnd.random()), len(self.flat) - 1)
        data, body = rnd.choice(self.flat[g])
        now = time.time()
        ts = datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        opening = (
            '{"event_id":"%s","timestamp":"%s","user":{"id":"%d","ip_address":"10.%d.%d.%d"},'
            % (
                eid,
                ts,
                rnd.randrange(5000),
                rnd.randrange(256),
                rnd.randrange(256),
                rnd.randrange(256),
            )
        ).encode()
        if self.vary:
            opening += ('"fingerprint":["{{ default }}","%d"],' % rnd.randrange(self.vary)).encode()
        if not self.store:
            opening = (
                '{"event_id":"%s","sent_at":"%s"}\n{"type":"event","content_type":"application/json","length":%d}\n'
                % (eid, ts, len(opening) + len(body))
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
            bufs = [self.head + b"%d\r\n\r\n" % length + prefix, data, tail]
        else:
            length = n_raw
            bufs = [self.head + b"%d\r\n\r\n" % length + opening, data]
        self.raw_bytes += n_raw
        self.wire_bytes += length
        self.made += 1
        return eid, bufs, sum(map(len, bufs))


# ---------------------------------------------------------------------------------------------- client


class Conn:
    __slots__ = (
        "sock",
        "fd",
        "t0",
        "eid",
        "pending",
        "inbuf",
        "need",
        "close",
        "status",
        "busy",
        "connecting",
        "bufs",
        "chunked",
    )

    def __init__(self):
        self.sock = None
        self.busy = False
        self.connecting = False


class Client:
    def __init__(self, addr, requests, connections, rate, seconds, events, ids_out, dead_s):
        self.addr, self.requests, self.n = addr, requests, connections
        self.rate, self.seconds, self.events, self.dead_s = rate, seconds, events, dead_s
        self.ids_out = ids_out
        self.ep = select.epoll()
        self.by_fd = {}
        self.lat = array.array("d")
        self.statuses, self.errors = {}, {}
        self.connects = 0
        self.log = []
        self.last_ok = 0.0
        self.retry_at = []

    def open(self, c):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.sock, c.fd, c.inbuf, c.need, c.close, c.pending = s, s.fileno(), b"", -1, False, None
        self.connects += 1
        r = s.connect_ex(self.addr)
        self.by_fd[c.fd] = c
        if r in (0, errno.EISCONN):
            c.connecting = False
            self.ep.register(c.fd, select.EPOLLIN)
        elif r == errno.EINPROGRESS:
            c.connecting = True
            self.ep.register(c.fd, select.EPOLLOUT)
        else:
            self.drop(c)
            return errno.errorcode.get(r, str(r))
        return None

    def drop(self, c):
        if c.sock is not None:
            try:
                self.ep.unregister(c.fd)
            except (OSError, ValueError):
                pass
            self.by_fd.pop(c.fd, None)
            c.sock.close()
            c.sock = None

    def fail(self, c, why):
        self.errors[why] = self.errors.get(why, 0) + 1
        if c.busy:
            self.log.append((c.eid, "err:" + why))
        c.busy = False
        self.drop(c)
        self.retry_at.append((time.perf_counter() + 0.05, c))

    def send(self, c, eid, bufs, total, t0):
        c.busy, c.eid, c.t0 = True, eid, t0
        if c.sock is None:
            why = self.open(c)
            if why:
                self.fail(c, why)
                return
            if c.connecting:
                c.bufs = (bufs, total)
                return
        self.push(c, bufs, total)

    def push(self, c, bufs, total):
        try:
            sent = c.sock.sendmsg(bufs)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self.fail(c, type(e).__name__)
            return
        if sent < total:
            c.pending = memoryview(b"".join(bufs))[sent:]
            self.ep.modify(c.fd, select.EPOLLIN | select.EPOLLOUT)

    def on_write(self, c):
        if c.connecting:
            err = c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if err:
                self.fail(c, errno.errorcode.get(err, str(err)))
                return
            c.connecting = False
            self.ep.modify(c.fd, select.EPOLLIN)
            bufs, total = c.bufs
            c.bufs = None
            self.push(c, bufs, total)
            return
        if c.pending is not None:
            try:
                sent = c.sock.send(c.pending)
            except BlockingIOError:
                return
            except OSError as e:
                self.fail(c, type(e).__name__)
                return
            c.pending = c.pending[sent:]
            if not len(c.pending):
                c.pending = None
                self.ep.modify(c.fd, select.EPOLLIN)

    def on_read(self, c):
        """True when the response is complete"""
        try:
            data = c.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError as e:
            self.fail(c, type(e).__name__)
            return False
        if not c.busy:  # the server closed an idle connection
            self.drop(c)
            return False
        if not data:
            if c.need == -2:  # body until close
                return self.done(c, True)
            if c.inbuf or c.pending is not None:
                self.fail(c, "closed-mid-request")
            else:
                self.fail(c, "closed-without-response")
            return False
        buf = c.inbuf = c.inbuf + data if c.inbuf else data
        if c.need < 0 and c.need != -2:
            end = buf.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = buf[:end].lower()
            c.status = int(buf[9:12])
            c.close = b"\r\nconnection: close" in head or buf.startswith(b"HTTP/1.0")
            c.chunked = b"\r\ntransfer-encoding: chunked" in head
            at = head.find(b"\r\ncontent-length:")
            if at >= 0:
                stop = head.find(b"\r\n", at + 2)
                c.need = end + 4 + int(head[at + 17 : stop if stop > 0 else len(head)])
            elif c.chunked:
                c.need = 1 << 60
            elif c.status in (204, 304):
                c.need = end + 4
            else:
                c.need = -2
                return False
        if c.need == 1 << 60:
            if buf.endswith(b"0\r\n\r\n"):
                return self.done(c, c.close)
            return False
        if c.need >= 0 and len(buf) >= c.need:
            return self.done(c, c.close)
        return False

    def done(self, c, close):
        now = time.perf_counter()
        self.lat.append(now - c.t0)
        s = c.status
        self.statuses[s] = self.statuses.get(s, 0) + 1
        if self.ids_out:
            self.log.append((c.eid, str(s)))
        self.last_ok = now
        c.inbuf, c.need, c.busy = b"", -1, False
        if close:
            self.drop(c)
        return True

    def run(self, source):
        conns = [Conn() for _ in range(self.n)]
        perf = time.perf_counter
        gc.collect()
        gc.freeze()
        gc.disable()
        cpu0 = time.process_time()
        start = self.last_ok = perf()
        stop_at = start + self.seconds if self.seconds else float("inf")
        idle, sent, exhausted = list(conns), 0, False
        interval = 1 / self.rate if self.rate else 0
        while True:
            now = perf()
            if now >= stop_at:
                exhausted = True
            if self.retry_at:
                ready = [c for t, c in self.retry_at if t <= now]
                if ready:
                    self.retry_at = [(t, c) for t, c in self.retry_at if t > now]
                    idle.extend(ready)
            if now - self.last_ok > self.dead_s:
                self.errors["gave-up"] = 1
                break
            while idle and not exhausted:
                if interval:
                    due = start + sent * interval
                    if due > now:
                        break
                try:
                    eid, bufs, total = next(source)
                except StopIteration:
                    exhausted = True
                    break
                c = idle.pop()
                sent += 1
                self.send(c, eid, bufs, total, due if interval else perf())
            if exhausted and len(idle) + len(self.retry_at) == self.n:
                break
            timeout = 0.2
            if interval and idle and not exhausted:
                timeout = max(0.0, min(0.2, start + sent * interval - perf()))
            if self.retry_at:
                timeout = min(timeout, 0.02)
            for fd, ev in self.ep.poll(timeout):
                c = self.by_fd.get(fd)
                if c is None:
                    continue
                if ev & select.EPOLLIN:
                    if self.on_read(c):
                        if exhausted or interval:
                            idle.append(c)
                            continue
                        if perf() >= stop_at:
                            exhausted = True
                            idle.append(c)
                            continue
                        try:
                            eid, bufs, total = next(source)
                        except StopIteration:
                            exhausted = True
                            idle.append(c)
                            continue
                        sent += 1
                        self.send(c, eid, bufs, total, perf())
                elif ev & select.EPOLLOUT:
                    self.on_write(c)
                elif ev & (select.EPOLLHUP | select.EPOLLERR):
                    if c.busy:
                        err = c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                        self.fail(c, errno.errorcode.get(err, "hup"))
                    else:
                        self.drop(c)
        end = max(self.last_ok, start + 1e-9)
        return start, end, sent, time.process_time() - cpu0


def pct(sorted_lat, p):
    if not sorted_lat:
        return None
    return sorted_lat[min(len(sorted_lat) - 1, int(p / 100 * len(sorted_lat)))]


def run(a):
    u = urllib.parse.urlsplit(a.dsn)
    key, host, port = u.username, u.hostname, u.port or 80
    base, _, project = u.path.rstrip("/").rpartition("/")
    path = a.path or "%s/api/%s/%s/" % (base, project, a.endpoint)
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
            f.writelines("%s\t%s\n" % row for row in client.log)
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


# ---------------------------------------------------------------------------------------------- selftest


def trivial_server(sock):
    """Reads requests, answers 200 with a fixed body.  One epoll loop; knows Content-Length only."""
    resp = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ep = select.epoll()
    sock.setblocking(False)
    ep.register(sock.fileno(), select.EPOLLIN)
    conns = {}
    while True:
        for fd, ev in ep.poll():
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


def selftest(a):
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
        # the ready-made gzip streams must be valid
        a.dsn = "http://key@127.0.0.1:%d/1" % port
        a.encoding = "gzip"
        r = Requests(a, "x", "/", "k")
        for _ in range(50):
            eid, bufs, total = r.make()
            body = b"".join(bufs).split(b"\r\n\r\n", 1)[1]
            lines = gzip.decompress(body).split(b"\n")
            assert json.loads(lines[0])["event_id"] == eid == json.loads(lines[2])["event_id"]
            assert json.loads(lines[1])["length"] == len(lines[2])
        for size in ("small", "medium", "large"):
            for enc in ("gzip", "identity"):
                for n in (1, 8, 32):
                    a.size, a.encoding, a.connections, a.events, a.seconds = size, enc, n, 15000, 0
                    out = run(a)
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


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--dsn", help="http://KEY@host:port/PROJECT")
    p.add_argument("--connections", type=int, default=8)
    p.add_argument("--events", type=int, default=0, help="send exactly this many")
    p.add_argument("--seconds", type=float, default=0, help="or send for so long")
    p.add_argument(
        "--rate",
        type=float,
        default=0,
        help="open loop: events/s due; latency then counts from when due",
    )
    p.add_argument("--groups", type=int, default=200)
    p.add_argument("--variants", type=int, default=4, help="different bodies for each group")
    p.add_argument(
        "--zipf", type=float, default=1.1, help="exponent of the distribution of events over groups"
    )
    p.add_argument("--size", choices=list(SIZES), default="medium")
    p.add_argument("--encoding", choices=["gzip", "identity"], default="gzip")
    p.add_argument("--endpoint", choices=["envelope", "store"], default="envelope")
    p.add_argument("--path", help="post here instead of /api/PROJECT/ENDPOINT/")
    p.add_argument("--host-header", help="Host header, where it must differ from the DSN's")
    p.add_argument(
        "--vary-message",
        type=int,
        default=0,
        metavar="N",
        help="split each group in N by fingerprint",
    )
    p.add_argument("--ids-out", help="write 'event id TAB status' for every event that was sent")
    p.add_argument(
        "--dead-s", type=float, default=5, help="give up when nothing was answered for so long"
    )
    p.add_argument(
        "--pregen-rate",
        type=int,
        default=3000,
        help="with --seconds: events/s to make before the clock starts",
    )
    p.add_argument(
        "--seed",
        type=int,
        default=None,
        help="default: random, so that event ids are unique over runs",
    )
    p.add_argument("--json", action="store_true")
    p.add_argument("--selftest", action="store_true")
    a = p.parse_args()
    if a.seed is None:
        a.id_seed = int.from_bytes(os.urandom(8), "big")
        a.seed = 1
    else:
        a.id_seed = a.seed
    if a.selftest:
        selftest(a)
        return
    if not a.dsn or not (a.events or a.seconds):
        p.error("--dsn and one of --events, --seconds")
    show(run(a), a.json)


if __name__ == "__main__":
    main()
