from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lib.scrub import FILTERED, Scrubber, scrub, scrub_text
from tests.lib.linear import TAILS, UNITS, is_linear
from tests.two_runs import in_the_sqlite_run

pytestmark = in_the_sqlite_run

SECRETS = {
    "jane.doe+tickets@example.co.uk": "order for jane.doe+tickets@example.co.uk failed",
    "jörg@example.de": "to=jörg@example.de",
    "jane%40example.com": "/reset?mail=jane%40example.com&next=/",
    "203.0.113.77": "connection from 203.0.113.77:4711 refused",
    "2001:db8::42": "peer [2001:db8::42]:443 gone",
    "4242 4242 4242 4242": "declined: 4242 4242 4242 4242",
    "4242-4242-4242-4242": "card=4242-4242-4242-4242",
    "4000 0566 5566 5556": "paid with 4000 0566 5566 5556 12/27 123",
    "4111111111111111": "row 4 4111111111111111 1227",
    "3782 822463 10005": "5 3782 822463 10005 09/28",
    "5555555555554444": "pan:5555555555554444;",
    "378282246310005": "amex 378282246310005.",
    "hunter2": "https://admin:hunter2@db.internal/portal",
    "correct-horse": "retry with password=correct-horse&user=5",
    "battery staple": "{'password': 'battery staple', 'order_id': 77}",
    "staple42": '{"db": {"passwd": "staple42"}}',
    "nested99": '{\\"api_key\\": \\"nested99\\"}',
    "abc123def456": "Authorization: Bearer abc123def456",
    "dXNlcjpwYXNz": "sent basic dXNlcjpwYXNz to upstream",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln": "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln!",
    "eyJhbGciOiJub25lIn0": "/confirm/token-eyJhbGciOiJub25lIn0.eyJzdWIiOjF9./next",
    "eyJzdWIiOjE3fQ": "authentication.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjE3fQ.c2lnbmF0dXJl.html",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc": "Invalid API Key provided: sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "whsec_5fGh78KlMn": "signing with whsec_5fGh78KlMn",
    "xYz987SecretPart": "confirm pi_3Nabc_secret_xYz987SecretPart now",
    "MIIEpAIBAAKCAQEA": "key -----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "sessionid=9f8e7d": "Cookie: theme=dark; sessionid=9f8e7d",
    "AKIAIOSFODNN7EXAMPLE": "boto used AKIAIOSFODNN7EXAMPLE",
}


@pytest.mark.parametrize(("secret", "text"), SECRETS.items(), ids=list(SECRETS))
def test_a_secret_inside_a_text_is_filtered(secret: str, text: str) -> None:
    scrubbed = scrub_text(text)

    assert secret not in scrubbed
    assert FILTERED in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "Mozilla/5.0 (X11; Linux x86_64) Chrome/129.0.0.0 Safari/537.36",
        "portal@1.2.0",
        "/node_modules/jquery@3.7.min.js",
        "django/core/handlers/base.py",
        "at 12:30:45 std::vector<int> dead::beef Foo::Bar",
        "took 1732284618123 ms since 2026-11-22T14:10:18.123456+00:00",
        "order_id=77 reservation_id=9 payment_intent=pi_3NabcDEF user=42",
        "basic authentication failed",
        "token expired",
        "the author=jane",
        "'password': None",
        "<Order: order object (482374923)>",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "0.4242424242424242",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    ],
)
def test_ordinary_texts_are_not_changed(text: str) -> None:
    assert scrub_text(text) == text


def test_the_rest_of_a_text_stays_readable() -> None:
    text = "checkout for jane@example.com (order 77) failed: card 4242424242424242 declined"

    assert scrub_text(text) == (
        "checkout for [Filtered] (order 77) failed: card [Filtered] declined"
    )


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "user_password",
        "userPassword",
        "DB_PASSWD",
        "client_secret",
        "SECRET_KEY",
        "apiKey",
        "X-Api-Key",
        "api_key",
        "auth",
        "http_auth",
        "Authorization",
        "X-Auth-Token",
        "access_token",
        "csrftoken",
        "sessionid",
        "PHPSESSID",
        "Cookie",
        "Set-Cookie",
        "cookies",
        "otp",
        "token",
        "pin",
        "cvc",
        "credentials",
        "private_key",
        "stripe_token",
        "cardNumber",
    ],
)
def test_a_secret_field_is_filtered_regardless_of_its_value(name: str) -> None:
    assert scrub({name: "x"}) == {name: FILTERED}
    assert scrub({name: {"deep": ["x"]}}) == {name: FILTERED}
    assert scrub([[name, "x"]]) == [[name, FILTERED]]


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "authors",
        "token_count",
        "max_tokens",
        "session_length",
        "pinned",
        "passed",
        "spinner",
        "order_id",
        "payment_intent",
        "reservation_id",
        "request_id",
        "keyboard",
        "organisation",
    ],
)
def test_a_field_whose_name_only_resembles_a_secret_is_kept(name: str) -> None:
    assert scrub({name: "x1"}) == {name: "x1"}


def test_an_empty_password_is_kept() -> None:
    assert scrub({"password": None, "token": "", "auth": False}) == {
        "password": None,
        "token": "",
        "auth": False,
    }


def test_card_numbers_are_filtered_and_other_numbers_kept() -> None:
    value = {"n": 4242424242424242, "f": 4242424242424242.0, "at": 1732284618123, "id": 77}

    assert scrub(value) == {"n": FILTERED, "f": FILTERED, "at": 1732284618123, "id": 77}


def test_an_app_can_add_secret_names_and_declare_names_safe() -> None:
    own = Scrubber(extra_keys=["IBAN", "birth-date"], safe_keys=["auth_provider", "csrfMode"])

    value = {"iban": "DE1", "birthDate": "1.1.", "auth_provider": "saml", "csrf_mode": "on"}

    assert own.scrub(value) == {
        "iban": FILTERED,
        "birthDate": FILTERED,
        "auth_provider": "saml",
        "csrf_mode": "on",
    }


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_filtered_in_every_position_of_a_value(secret: str) -> None:
    text = SECRETS[secret]
    value: dict[str, Any] = {
        "a": [text, {"b": (text, text)}],
        text: 1,
        "frames": [{"vars": {"x": {"y": [text]}}}],
    }

    assert secret not in repr(scrub(value))


def test_scrubbing_returns_a_copy_and_does_not_change_the_original() -> None:
    value = {"user": {"email": "jane@example.com"}}

    scrub(value)

    assert value == {"user": {"email": "jane@example.com"}}


def test_values_that_json_does_not_have_are_scrubbed_as_text() -> None:
    class Strange:
        def __str__(self) -> str:
            return "for jane@example.com"

    assert scrub({"x": Strange()}) == {"x": "for [Filtered]"}


def test_values_that_are_nested_too_deeply_are_cut() -> None:
    value: Any = "jane@example.com"
    for _ in range(5_000):
        value = [value]

    assert "jane" not in repr(scrub(value))


@pytest.mark.parametrize("unit", UNITS)
def test_scrubbing_takes_linear_time(unit: str) -> None:
    assert [tail for tail in TAILS if not is_linear(scrub_text, unit, tail, 20_000)] == []


@given(st.text(max_size=200))
def test_scrubbing_twice_has_the_same_result_as_scrubbing_once(text: str) -> None:
    once = scrub_text(text)

    assert scrub_text(once) == once


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=20,
)


@pytest.mark.slow
@given(json_like)
def test_any_value_can_be_scrubbed(value: Any) -> None:
    scrubbed = scrub(value)

    assert type(scrubbed) in (type(value), str)


@given(
    st.text(alphabet=st.characters(blacklist_categories=["Cs", "L", "N", "M", "Pc"]), max_size=30)
)
def test_an_e_mail_address_is_found_between_any_characters(around: str) -> None:
    around = (
        around.replace("@", "").replace("%", "").replace("+", "").replace("-", "").replace(".", "")
    )

    assert "jane.doe@example" not in scrub_text(f"{around}jane.doe@example.com{around}")
