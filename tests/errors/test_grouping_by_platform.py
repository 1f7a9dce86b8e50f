"""Test which parts of frames and messages a fingerprint depends on, by platform."""

from typing import Any

import pytest

from errors.event.fingerprint import fingerprint, without_variables

Event = dict[str, Any]


def frame(**fields: Any) -> Event:
    return {"in_app": True, "module": "shop.orders", "function": "pay", **fields}


def raised(platform: str, *frames: Event, type: str = "E", **exception: Any) -> Event:
    given = {"type": type, "value": "v", "stacktrace": {"frames": list(frames)}, **exception}
    return {"platform": platform, "exception": {"values": [given]}}


def is_same(platform: str, one: Event, other: Event) -> bool:
    """Return True if two events whose innermost frames are `one` and `other` belong to the same group."""
    caller = frame(module="shop.views", function="handle")
    return fingerprint(raised(platform, caller, one)) == fingerprint(
        raised(platform, caller, other)
    )


# --- functions and modules -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "one", "other"),
    [
        ("node", "Cart.total", "total"),
        ("node", "async total", "total"),
        ("javascript", "set total", "total"),
        ("javascript", "Promise.all*total", "total"),
        ("javascript", "<total>", "total"),
        ("java", "lambda$pay$0", "lambda$refund$17"),
        ("java", "access$100", "access$200"),
        ("java", "access$getTotal$p", "access$getSeats$p"),
        ("java", "pay$3", "pay$4"),
        ("java", "invoke$$FastClass", "invoke"),
        ("ruby", "block in pay", "pay"),
        ("ruby", "rescue in block (2 levels) in pay", "pay"),
        ("php", "class@anonymous/srv/app/a.php:12$0", "class@anonymous/srv/app/b.php:7$1"),
        ("python", "<lambda>", "?"),
    ],
)
def test_names_that_differ_by_the_kind_of_call_denote_one_function(
    platform: str, one: str, other: str
) -> None:
    assert is_same(platform, frame(function=one), frame(function=other))
    assert not is_same(platform, frame(function=one), frame(function="somethingElse"))


@pytest.mark.parametrize(
    ("platform", "one", "other"),
    [
        ("python", "Cart.total", "total"),
        ("python", "lambda$pay$0", "lambda$refund$17"),
        ("python", "block in pay", "pay"),
        ("python", "class@anonymous/a.php", "class@anonymous/b.php"),
        ("ruby", "pay$3", "pay$4"),
        ("php", "async pay", "pay"),
    ],
)
def test_the_naming_rules_of_one_platform_do_not_apply_to_others(
    platform: str, one: str, other: str
) -> None:
    assert not is_same(platform, frame(function=one), frame(function=other))


def test_generated_classes_of_java_and_php_count_as_their_original_classes() -> None:
    assert is_same(
        "java", frame(module="shop.Pay$$EnhancerBySpring$$9a8b"), frame(module="shop.Pay")
    )
    assert is_same(
        "java", frame(module="com.sun.proxy.Proxy12"), frame(module="com.sun.proxy.Proxy7")
    )
    assert is_same("php", frame(module="class@anonymous/a.php:3"), frame(module="class@anonymous/b.php:9"))  # fmt: skip
    assert not is_same("python", frame(module="shop.Pay$1"), frame(module="shop.Pay$2"))
    assert not is_same("python", frame(module="class@anonymous/a"), frame(module="class@anonymous/b"))  # fmt: skip


@pytest.mark.parametrize("platform", ["javascript", "node"])
def test_scripts_are_identified_by_file_and_other_code_by_module(platform: str) -> None:
    here = frame(module="app/a", filename="https://shop.example/static/pay.js?v=1#top")
    moved = frame(module="app/b", filename="C:\\site\\pay.js")
    other = frame(module="app/a", filename="/static/refund.js")

    assert is_same(platform, here, moved)
    assert not is_same(platform, here, other)
    assert is_same("python", {**here, "filename": "x.py"}, {**here, "filename": "y.py"})
    assert not is_same("python", here, moved)


def test_a_script_without_a_file_is_identified_by_its_module() -> None:
    assert not is_same("javascript", frame(module="app/a"), frame(module="app/b"))


def test_file_names_are_compared_without_folders_and_case() -> None:
    def in_file(name: str) -> Event:
        return frame(module="", filename=name)

    assert is_same("python", in_file("/srv/app/Orders.py"), in_file("/home/app/orders.py"))
    assert is_same("python", in_file("/srv/app/orders.py/"), in_file("orders.py"))
    assert is_same("python", in_file(""), {**in_file(""), "function": "refund"})
    assert is_same(
        "python",
        {**in_file(""), "abs_path": "/srv/app/orders.py"},
        in_file("/home/app/orders.py"),
    )
    assert not is_same("python", in_file("orders.py"), in_file("orders2.py"))


def test_a_frame_may_have_its_own_platform() -> None:
    native = {"platform": "java", "function": "lambda$pay$0"}

    assert is_same("python", frame(**native), frame(**{**native, "function": "lambda$refund$3"}))


# --- lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["python", "javascript", "node", "ruby"])
def test_the_source_line_distinguishes_two_bugs_in_one_function(platform: str) -> None:
    one, other = frame(context_line="pay(seat)"), frame(context_line="hold(seat)")

    assert not is_same(platform, one, other)
    assert is_same(platform, one, frame(context_line="    pay(seat)  "))


def test_source_lines_of_compiled_platforms_and_minified_code_do_not_count() -> None:
    assert is_same("java", frame(context_line="pay();"), frame(context_line="hold();"))
    assert is_same("javascript", frame(context_line="a" * 121), frame(context_line="b" * 121))
    assert not is_same("javascript", frame(context_line="a" * 120), frame(context_line="b" * 120))


def test_a_stack_with_source_lines_only_is_used() -> None:
    one = raised("python", frame(function="?", context_line="pay(seat)"), value="a")
    again = raised("python", frame(function="?", context_line="pay(seat)"), value="b")

    assert fingerprint(one) == fingerprint(again)


@pytest.mark.parametrize("platform", ["python", "java"])
def test_a_stack_without_functions_and_lines_is_grouped_by_the_value(
    platform: str,
) -> None:
    nothing = frame(function="?")

    one = fingerprint(raised(platform, nothing, value="no seat left"))

    assert one != fingerprint(raised(platform, nothing, value="card declined"))
    assert one == fingerprint(raised(platform, frame(module="else", function=""), value="no seat left"))  # fmt: skip


# --- frames before an await ---------------------------------------------------------------------


def called(platform: str, *functions: str | None) -> str:
    return fingerprint(raised(platform, *[frame(function=name) for name in functions]))


def test_in_browsers_only_frames_after_the_last_await_count() -> None:
    assert called("javascript", "async start", "read") == called("javascript", "read")
    assert called("javascript", "async a", "b", "async c", "read") == called("javascript", "read")
    assert called("javascript", "start", "read") != called("javascript", "read")


def test_a_browsers_stack_that_ends_in_an_async_function_counts_as_a_whole() -> None:
    assert called("javascript", "async a", "b", "async c") != called("javascript", "b", "async c")


def test_outside_of_browsers_frames_before_an_await_also_count() -> None:
    assert called("node", "async start", "read") != called("node", "read")
    assert called("python", "*", "read") != called("python", "read")


# --- exceptions ------------------------------------------------------------------------------------


def test_the_exception_type_counts_unless_it_is_synthetic() -> None:
    def of_type(type: str, *, synthetic: bool) -> str:
        return fingerprint(raised("python", frame(), type=type, mechanism={"synthetic": synthetic}))

    assert of_type("SIGSEGV", synthetic=True) == of_type("SIGBUS", synthetic=True)
    assert of_type("KeyError", synthetic=False) != of_type("ValueError", synthetic=False)


def test_values_do_not_count_if_one_exception_of_the_chain_has_a_stack() -> None:
    def chain(value: str) -> str:
        cause = {"type": "Timeout", "value": value}
        event = raised("python", frame())
        event["exception"]["values"].append(cause)
        return fingerprint(event)

    assert chain("after 3 seats") == chain("no answer")


def test_empty_exceptions_belong_to_one_group_that_differs_from_messages() -> None:
    bare = {"exception": {"values": [{"type": None, "value": None}]}}

    assert fingerprint(bare) == fingerprint({"exception": {"values": [{"type": "", "value": ""}]}})
    assert fingerprint(bare) != fingerprint({"logentry": {"message": "x"}})


# --- messages and reports --------------------------------------------------------------------------


def test_the_template_of_a_message_counts_and_its_parameters_do_not() -> None:
    def logged(message: str | None, formatted: str) -> str:
        return fingerprint({"logentry": {"message": message, "formatted": formatted}})

    assert logged("seat %s is taken", "seat A is taken") == logged("seat %s is taken", "seat B is taken")  # fmt: skip
    assert logged(None, "seat A is taken") != logged(None, "seat B is taken")
    assert logged("a", "x") != logged("b", "x")


def test_an_event_with_only_a_stack_is_identified_by_the_stack() -> None:
    def stack(function: str) -> str:
        return fingerprint({"platform": "python", "stacktrace": {"frames": [frame(function=function)]}})  # fmt: skip

    assert stack("pay") == stack("pay") != stack("refund")
    assert stack("pay") != fingerprint({"platform": "python"})


@pytest.mark.parametrize("name", ["effective_directive", "blocked_origin"])
def test_a_csp_report_is_identified_by_its_directive_and_the_blocked_origin(name: str) -> None:
    csp = {"effective_directive": "img-src", "blocked_origin": "https://ads.example"}

    one = fingerprint({"csp": csp, "logentry": {"message": "a"}})

    assert one == fingerprint({"csp": csp, "logentry": {"message": "b"}})
    assert one != fingerprint({"csp": {**csp, name: "other"}})
    assert one != fingerprint({"csp": {**csp, name: ""}})
    missing = {key: value for key, value in csp.items() if key != name}
    assert fingerprint({"csp": missing}) == fingerprint({"csp": {**csp, name: ""}})


def test_variables_of_a_message_are_replaced_by_their_kind() -> None:
    message = "order 17 of ann@shop.example from 192.0.2.7 took 3 ms for 'A7'"

    assert without_variables(message) == "order <number> of <email> from <ip> took <duration> for <quoted>"  # fmt: skip


def test_only_the_first_two_thousand_characters_of_a_message_count() -> None:
    start = "x" * 1_999

    assert without_variables(f"{start}ab") == f"{start}a"
    assert len(without_variables("x" * 5_000)) == 2_000


def test_text_with_lone_surrogates_can_be_grouped() -> None:
    assert fingerprint({"fingerprint": ["\ud800"]}) != fingerprint({"fingerprint": ["\udfff"]})


# --- hashes are kept -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (raised("python", frame(context_line="pay(seat)")), "654f1bc086330e1463384d656d1eb4c5"),
        (
            {"exception": {"values": [{"type": "ValueError", "value": "no seat 7"}]}},
            "f6c39b99b7969d52b876d1213d428a73",
        ),
        ({"exception": {"values": [{"type": "ValueError"}]}}, "5dc7546ed6be393d1877d09a98cef317"),
        ({"logentry": {"message": "no seat 7"}}, "a2beb714c69555742cfbf85c8bff5a40"),
        (
            {"platform": "python", "stacktrace": {"frames": [frame()]}},
            "224d14e05de99068227e5463d1901a30",
        ),
        (
            {"csp": {"effective_directive": "img-src", "blocked_origin": "x"}},
            "e78830f2c7a552c6896b034d881960e9",
        ),
        ({"fingerprint": ["a", 7]}, "749d2ba8df6b0bea906814f73fd0a2dd"),
    ],
)
def test_hashes_of_this_version_never_change(event: Event, expected: str) -> None:
    """Test that stored hashes stay valid. A change of the algorithm requires a new VERSION and an entry in EARLIER."""
    assert fingerprint(event) == expected
