# ruff: noqa: UP031, SIM905  (templates with many numbers read better with %)
"""Create event bodies as SDKs send them: Python and JavaScript exceptions of many groups, in three sizes."""

import json
import random
import time

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
# Per size: the number of frames, the share of JavaScript groups, the number of frames with local variables, and the
# numbers of variables per frame, breadcrumbs and context lines.
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
            f"'{rnd.choice(WORDS)}-{rnd.choice(WORDS)}-{rnd.getrandbits(32):08x}'",
            "None",
            {"id": str(rnd.randrange(10**6)), "status": f"'{rnd.choice(WORDS)}'"},
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
            path = "{}/{}.py".format(
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
                    "type": f"{etype}",
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
                    "message": f"SELECT {rnd.choice(WORDS)} FROM {rnd.choice(WORDS)} WHERE {rnd.choice(WORDS)} = %s LIMIT 21",
                    "timestamp": now - 30 + k * 0.5,
                    "data": {"db.system": "postgresql"},
                }
                for k in range(n_crumbs)
            ]
        },
        "request": {
            "url": f"https://portal.example/api/v1/{app}/{func}/",
            "method": rnd.choice(["GET", "POST"]),
            "query_string": "page=%d" % rnd.randrange(50),
            "headers": {
                "Host": "portal.example",
                "User-Agent": rnd.choice(UAS),
                "Accept": "application/json",
                "X-Request-Id": f"{rnd.getrandbits(128):032x}",
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
    n_frames, _, _, _, n_crumbs, _n_ctx = SIZES[size]
    app, func = rnd_g.choice(APPS), rnd_g.choice(FUNCS)
    etype, evalue = rnd_g.choice(JS_EXC)
    n_frames = rnd_g.randint(int(n_frames * 0.8), int(n_frames * 1.2))
    now = time.time()
    frames = [
        {
            "filename": "https://portal.example/static/js/{}.{:08x}.js".format(
                rnd_g.choice(["main", "vendor", "runtime", app]), rnd_g.getrandbits(32)
            ),
            "function": rnd_g.choice(
                [
                    f"t.{rnd_g.choice(FUNCS)}",
                    f"Object.{rnd_g.choice(WORDS)}",
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
                "message": f'div#root > main.{rnd.choice(WORDS)} > form.{rnd.choice(WORDS)} > button.{rnd.choice(WORDS)}[type="submit"]',
                "data": {
                    "url": "/api/v1/%s/%d" % (rnd.choice(APPS), rnd.randrange(10**5)),
                    "status_code": rnd.choice([200, 200, 404, 502]),
                    "method": "GET",
                },
            }
            for k in range(n_crumbs * 2)
        ],
        "request": {
            "url": f"https://portal.example/{app}/{func}",
            "headers": {
                "User-Agent": rnd.choice(UAS),
                "Referer": f"https://portal.example/{rnd.choice(APPS)}",
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
    """Return the bodies of each group. A body is a JSON object without its start, which is sent as a prefix."""
    pool = []
    js_share = SIZES[size][1]
    for g in range(groups):
        is_js = random.Random(seed * 7919 + g).random() < js_share
        row = []
        for v in range(variants):
            # Use the same seed for all events of a group, so that they share a stack trace.
            rnd_g = random.Random(seed * 1000003 + g)
            rnd = random.Random((seed * 1000003 + g) * 31 + v + 1)
            ev = (javascript_event if is_js else python_event)(g, v, size, rnd_g, rnd)
            row.append(json.dumps(ev, separators=(",", ":")).encode()[1:])
        pool.append(row)
    return pool
