"""Test version 3 of the fingerprint, which unifies function names of browsers and groups native code by symbol."""

from datetime import timedelta
from typing import Any

import pytest

from errors.event.fingerprint import VERSION, fingerprint, version_1
from errors.models import ErrorGroup, GroupHash
from errors.store.groups import group_cache
from tests.errors.stored import NOON, make_error
from tests.errors.support import Sender

Event = dict[str, Any]


def raised(
    platform: str, *frames: Event, type: str = "Error", value: str = "bad", **more: Any
) -> Event:
    exception = {"type": type, "value": value, "stacktrace": {"frames": list(frames)}, **more}
    return {"platform": platform, "exception": {"values": [exception]}}


# --- browsers -----------------------------------------------------------------------------------------
def script(function: str | None, file: str = "/tmp/test.html", **more: Any) -> Event:
    frame = {"filename": file, "abs_path": f"file://{file}", "in_app": False, "lineno": 7, **more}
    return frame if function is None else {**frame, "function": function}


@pytest.mark.parametrize("platform", ["javascript", "node"])
@pytest.mark.parametrize(
    "name",
    [
        "aha",
        "Object.aha",
        "async aha",
        "new Aha",
        "Module.aha",
        "aha/<",
        "Foo.prototype.aha",
        "get aha",
    ],
)
def test_names_of_a_function_in_different_browsers_are_one(platform: str, name: str) -> None:
    def called(function: str) -> str:
        return fingerprint(raised(platform, script("main"), script(function)))

    assert called(name) == called("aha")
    assert called(name) != called("oho")


def test_one_error_in_four_browsers_is_one_group() -> None:
    """Compare four browsers' stacks of one error, which contain `eval` and a callback of `Array.map`."""
    stacks = {
        "Chrome": [
            script(None), script("Foo.testMethod"), script("aha"), script("eval"), script("test"),
            script("Array.map", "<anonymous>"), script(None), script("Object.callback"), script("Object.aha"),
        ],
        "Edge": [
            script("Anonymous function"), script("Foo.prototype.testMethod"), script("aha"),
            script("eval code", "eval code"), script("test"), script("Array.prototype.map", "native code"),
            script("Anonymous function"), script("callback"), script("aha"),
        ],
        "Firefox": [
            script(None), script("testMethod"), script("aha"), script("eval"), script("test"), script("test/<"),
            script("callback"), script("aha"),
        ],
        "Safari": [
            script(None), script("testMethod"), script("aha"), script("eval", "[native code]"), script("test"),
            script("map", "[native code]"), script(None), script("callback"), script("aha", "[native code]"),
            script("aha"),
        ],
    }  # fmt: skip

    hashes = {name: fingerprint(raised("javascript", *frames)) for name, frames in stacks.items()}

    assert len(set(hashes.values())) == 1, hashes
    assert len({version_1(raised("javascript", *frames)) for frames in stacks.values()}) > 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"filename": "https://shop.example/static/cart.js"}, {"module": "static/cart"}),
        ({"filename": "src/cart.ts"}, {"filename": "/srv/web/src/Cart.js"}),
        ({"filename": "src/cart.vue"}, {"filename": "cart"}),
    ],
)
def test_a_file_and_the_module_with_its_name_are_one(one: Event, other: Event) -> None:
    def in_place(place: Event) -> str:
        return fingerprint(raised("javascript", {"function": "pay", "in_app": True, **place}))

    assert in_place(one) == in_place(other)
    assert in_place(one) != in_place({"filename": "src/basket.js"})


def test_a_frame_without_a_name_counts_by_its_source_line() -> None:
    one, other = script(None, context_line="pay(seat)"), script(None, context_line="hold(seat)")

    assert fingerprint(raised("javascript", one)) != fingerprint(raised("javascript", other))


def test_scripts_without_any_name_are_grouped_by_the_message() -> None:
    one = raised("javascript", script(None), value="no seat")

    assert fingerprint(one) == fingerprint(raised("javascript", script("?"), value="no seat"))
    assert fingerprint(one) != fingerprint(raised("javascript", script(None), value="no money"))


# --- native code --------------------------------------------------------------------------------------
def crash(*frames: Event, platform: str = "native", **event: Any) -> str:
    given = raised(
        platform, *frames, type="SIGSEGV", value="Segfault", mechanism={"synthetic": True}
    )
    return fingerprint({**given, **event})


def symbol(name: str, package: str = "/usr/lib/libshop.so.1", **more: Any) -> Event:
    return {"function": name, "package": package, "instruction_addr": "0x7f0000001234", **more}


def address(
    offset: int, base: int = 0x7F00_0000_0000, package: str = "libshop.so", **more: Any
) -> Event:
    return {
        "instruction_addr": hex(base + offset),
        "image_addr": hex(base),
        "package": package,
        **more,
    }


@pytest.mark.parametrize("platform", ["native", "cocoa", "objc", "c"])
def test_system_frames_are_grouped_by_package_and_symbol(platform: str) -> None:
    def crashed(*frames: Event) -> str:
        return crash(*frames, platform=platform)

    one = crashed(symbol("start_thread", "/lib/libc.so.6"), symbol("Gfx::Draw"))

    assert one == crashed(symbol("start_thread", "/system/lib64/libc.so.6"), symbol("Gfx::Draw"))
    assert one != crashed(symbol("start_thread", "/lib/libc.so.6"), symbol("Gfx::Flush"))
    assert one != crashed(symbol("start_thread", "/lib/libc.so.6"), symbol("Gfx::Draw", "libgl.so"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pay(int, char const*)", "pay(long)"),
        ("shop::pay::h0123456789abcdef", "shop::pay::hfedcba9876543210"),
        ("pay [clone .isra.0]", "pay"),
        ("pay.constprop.3", "pay"),
        ("-[Cart pay:]_block_invoke_2", "-[Cart pay:]"),
        ("__32-[Cart pay:]_block_invoke", "-[Cart pay:]"),
        ("(anonymous namespace)::pay(int)", "(anonymous namespace)::pay"),
        ("Cart::operator()(int)", "Cart::operator()"),
    ],
)
def test_variants_of_a_symbol_belong_to_one_group(one: str, other: str) -> None:
    assert crash(symbol(one)) == crash(symbol(other)) != crash(symbol("refund"))


def test_symbols_of_the_app_take_precedence_over_system_symbols() -> None:
    own = symbol("Cart::pay", "shop", in_app=True)

    assert crash(symbol("start"), own, symbol("abort")) == crash(
        symbol("main"), own, symbol("raise")
    )


def test_addresses_count_by_their_offset_in_the_package() -> None:
    elsewhere = 0x5500_0000_0000

    assert crash(address(0x100), address(0x234)) == crash(
        address(0x100, elsewhere), address(0x234, elsewhere)
    )
    assert crash(address(0x100), address(0x234)) != crash(address(0x100), address(0x999))


def test_the_package_of_an_address_is_found_among_the_loaded_images() -> None:
    def crashed(base: int, offset: int) -> str:
        images = [
            {"image_addr": hex(base), "image_size": 0x1000, "code_file": "/data/app/libshop.so"}
        ]
        return crash({"instruction_addr": hex(base + offset)}, debug_meta={"images": images})

    assert crashed(0x7F00_0000_0000, 0x234) == crashed(0x5500_0000_0000, 0x234)
    assert crashed(0x7F00_0000_0000, 0x234) != crashed(0x7F00_0000_0000, 0x235)


def test_addresses_outside_of_all_images_are_ignored() -> None:
    assert crash({"instruction_addr": "0x1234"}) == crash({"instruction_addr": "0x5678"})
    assert crash({"instruction_addr": "0x1234", "package": "a.so"}) != crash(
        {"instruction_addr": "0x1234", "package": "b.so"}
    )


def test_the_stack_of_the_crashed_thread_is_used_if_the_exception_has_none() -> None:
    def crashed(name: str) -> str:
        threads = {
            "values": [
                {"id": 1},
                {"id": 2, "crashed": True, "stacktrace": {"frames": [symbol(name)]}},
            ]
        }
        exception = {"values": [{"type": "SIGSEGV", "value": "Segfault"}]}
        return fingerprint({"platform": "native", "exception": exception, "threads": threads})

    assert crashed("pay") != crashed("refund")


@pytest.mark.parametrize("junk", [None, 7, [], {}, "0x", "x" * 300])
def test_unusable_members_of_native_frames_do_not_count(junk: Any) -> None:
    frame = dict.fromkeys(
        ("package", "instruction_addr", "image_addr", "symbol", "raw_function"), junk
    )
    images = {"images": [frame, junk]}

    assert crash(frame, debug_meta=images) == crash(frame, debug_meta=junk)


# --- groups of version 1 --------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_group_of_version_1_keeps_its_events(sender: Sender) -> None:
    event = raised("javascript", script("main"), script("new Aha"))
    old = make_error(
        sender.app, payload=event, group=version_1(event), received_at=NOON - timedelta(days=1)
    )
    GroupHash.objects.update(version=1)
    group_cache.clear()
    assert version_1(event) != fingerprint(event)

    assert sender.send(event).status_code == 200

    [group] = ErrorGroup.objects.all()
    assert (group.pk, group.event_count) == (old.group_id, 2)
    assert list(group.hashes.order_by("version").values_list("version", flat=True)) == [1, VERSION]


@pytest.mark.parametrize("platform", ["python", "ruby", "php", "java", "go", "csharp"])
def test_other_platforms_keep_their_hashes(platform: str) -> None:
    frame = {"module": "shop.pay", "filename": "shop/pay.py", "function": "Pay", "in_app": True}
    event = raised(platform, frame, {"package": "x", **frame, "function": "hold"})

    assert fingerprint(event) == version_1(event)
