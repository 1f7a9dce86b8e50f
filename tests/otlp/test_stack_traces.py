"""Test that stack traces sent as text become exceptions with frames."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otlp.stack_traces import MAX_LENGTH, parse
from tests.otlp.exporting import PYTHON_STACK

CHAINED = """Traceback (most recent call last):
  File "/app/shop/bank.py", line 5, in ask
    socket.connect(bank)
    ~~~~~~~~~~~~~~^^^^^^
  File "<string>", line 1
ConnectionRefusedError: [Errno 111] refused

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/shop/pay.py", line 9, in charge
    ask()
  File "/usr/lib/python3.11/contextlib.py", line 158, in __exit__
    self.gen.throw(value)
shop.errors.BankDown: try later
line two
"""
NODE = """TypeError: Cannot read properties of undefined (reading 'seat')
    at hold (/app/src/seats.js:12:21)
    at async Shop.reserve (file:///app/src/shop.mjs:4:5)
    at new Cart (/app/src/cart.js:1:2)
    at /app/src/anonymous.js:7:9
    at Layer.handle (/app/node_modules/express/lib/router/layer.js:95:5)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
"""
FIREFOX = """hold@https://shop.example/app.js:12:21
@https://shop.example/app.js:1:2
"""
JAVA = """com.shop.PaymentException: card declined
\tat com.shop.pay.Bank.charge(Bank.java:42)
\tat com.shop.pay.Bank$$Lambda$14/0x01.run(Unknown Source)
\tat java.base/java.lang.Thread.run(Thread.java:840)
\tSuppressed: java.lang.IllegalStateException: closing
\t\tat com.shop.Other.close(Other.java:1)
Caused by: java.net.ConnectException: refused
\tat app//com.shop.pay.Socket.<init>(Socket.java:7)
\t... 12 more
"""


def frames(exception: dict[str, Any]) -> list[tuple[Any, ...]]:
    keys = ("module", "filename", "function", "lineno", "in_app")
    return [tuple(frame.get(key) for key in keys) for frame in exception["stacktrace"]["frames"]]


def test_a_python_traceback_becomes_an_exception() -> None:
    [found] = parse(PYTHON_STACK, type="shop.errors.CardDeclined", value="declined")

    assert (found["module"], found["type"], found["value"]) == (
        "shop.errors",
        "CardDeclined",
        "declined",
    )
    assert frames(found) == [
        ("flask.app", "flask/app.py", "wsgi_app", 1473, False),
        (None, "/app/shop/pay.py", "charge", 12, True),
    ]
    context = found["stacktrace"]["frames"][0]["context_line"]
    assert context == "response = self.full_dispatch_request()"


def test_a_chain_of_python_exceptions_has_its_cause_first() -> None:
    cause, last = parse(CHAINED, type="shop.errors.BankDown", value="try later\nline two")

    assert (cause["type"], cause["value"]) == ("ConnectionRefusedError", "[Errno 111] refused")
    assert frames(cause) == [
        (None, "/app/shop/bank.py", "ask", 5, True),
        (None, "<string>", "<module>", 1, False),
    ]
    assert last["type"] == "BankDown"
    assert frames(last)[1] == ("contextlib", "contextlib.py", "__exit__", 158, False)


def test_a_stack_from_node_becomes_frames() -> None:
    [found] = parse(NODE, type="TypeError", value="no seat")

    assert [one[1:] for one in reversed(frames(found))] == [
        ("/app/src/seats.js", "hold", 12, True),
        ("/app/src/shop.mjs", "Shop.reserve", 4, True),
        ("/app/src/cart.js", "Cart", 1, True),
        ("/app/src/anonymous.js", "?", 7, True),
        ("/app/node_modules/express/lib/router/layer.js", "Layer.handle", 95, False),
        ("node:internal/process/task_queues", "process.processTicksAndRejections", 95, False),
    ]


def test_a_stack_from_firefox_or_safari_becomes_frames() -> None:
    [found] = parse(FIREFOX, type="Error", value="x")

    assert [one[1:] for one in frames(found)] == [
        ("https://shop.example/app.js", "?", 1, True),
        ("https://shop.example/app.js", "hold", 12, True),
    ]


def test_a_java_stack_with_a_cause_becomes_two_exceptions() -> None:
    cause, last = parse(JAVA, type="com.shop.PaymentException", value="card declined")

    assert (cause["module"], cause["type"], cause["value"]) == (
        "java.net",
        "ConnectException",
        "refused",
    )
    assert frames(cause) == [("com.shop.pay.Socket", "Socket.java", "<init>", 7, True)]
    assert (last["module"], last["type"]) == ("com.shop", "PaymentException")
    assert frames(last) == [
        ("java.lang.Thread", "Thread.java", "run", 840, False),
        ("com.shop.pay.Bank", "Bank.java", "charge", 42, True),
    ]


@pytest.mark.parametrize("text", ["", "no stack at all", "   at   ", 'File "', "Caused by: x"])
def test_without_a_stack_there_are_no_frames(text: str) -> None:
    assert parse(text, type="Error", value="x") == [{"type": "Error", "value": "x"}]


@given(st.text(max_size=300), st.text(max_size=20))
def test_any_text_can_be_parsed(text: str, kind: str) -> None:
    for wrapped in (text, f"{PYTHON_STACK}{text}", f"{JAVA}{text}{NODE}"):
        chain = parse(wrapped, type=kind, value=text)
        assert chain[-1]["value"] == text
        assert chain[-1]["type"]


@pytest.mark.parametrize(
    "part",
    [
        '  File "',
        "    at ",
        "at a (",
        "@",
        "a:1:1",
        "Caused by: ",
        "^",
        " ",
        "\n",
        "a.b.",
        "\tat a.b(",
    ],
)
def test_a_long_text_is_parsed_in_linear_time(part: str) -> None:
    text = (part * MAX_LENGTH)[:MAX_LENGTH]

    assert parse(text, type="Error", value="x")[-1]["type"] == "Error"
    assert parse(f'File "x", line 1\n{text}', type="Error", value="x")[-1]["type"] == "Error"
