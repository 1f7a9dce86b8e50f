"""Test which events the inbound filters match."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors.event.filters import Filter, browser_of, compile_filters, is_crawler, messages_of

KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
CHROME = f"{MAC} {KIT} Chrome/131.0.0.0 Safari/537.36"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = f"{PHONE} Version/17.5 Mobile/15E148 Safari/604.1"
ANDROID = "Mozilla/5.0 (Linux; U; Android 4.0.3; en-us; GT-I9100) AppleWebKit/534.30"
IPAD = "Mozilla/5.0 (iPad; CPU OS 11_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
BOT = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible;"
GOOGLEBOT = f"{BOT} Googlebot/2.1; +http://www.google.com/bot.html) Chrome/131.0.0.0 Safari/537.36"


def drops(kind: Filter, event: dict[str, Any], *patterns: str) -> bool:
    return compile_filters([(kind.value, patterns)]).matching(event) is not None


def from_browser(user_agent: str) -> dict[str, Any]:
    return {"request": {"headers": {"User-Agent": user_agent}}}


def raised(value: str = "boom", type: str = "Error", *, at: str = "") -> dict[str, Any]:
    frames = [{"filename": "https://shop.example/app.js"}, {"filename": at, "abs_path": at}]
    exception = {"type": type, "value": value, "stacktrace": {"frames": frames if at else []}}
    return {"platform": "javascript", "exception": {"values": [exception]}}


@pytest.mark.parametrize(
    ("user_agent", "browser"),
    [
        (CHROME, ("Chrome", 131)),
        (f"{CHROME} Edg/131.0.2903.86", ("Edge", 131)),
        (f"{CHROME} OPR/116.0.0.0", ("Opera", 116)),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
            ("Firefox", 133),
        ),
        (
            f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
            ("Safari", 18),
        ),
        (IPHONE, ("Safari", 17)),
        (f"{PHONE} CriOS/62.0.3202.70 Mobile/15E148 Safari/604.1", ("Safari", 17)),
        (f"{IPAD} Version/11.0 Mobile/15E148 Safari/604.1", ("Safari", 11)),
        (f"{WINDOWS} {KIT} Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763", ("Edge", 18)),
        (
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)",
            ("Internet Explorer", 0),
        ),
        (
            "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
            ("Internet Explorer", 0),
        ),
        (
            "Opera/9.80 (Android; Opera Mini/7.5.33361/31.1448; U; en) Presto/2.8.119 Version/11.1010",
            ("Opera Mini", 7),
        ),
        ("Opera/9.80 (Windows NT 6.1; U; en) Presto/2.10.229 Version/11.62", ("Opera", 11)),
        (f"{ANDROID} (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30", ("Android Browser", 4)),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S918B) {KIT} SamsungBrowser/25.0 Chrome/121.0.0.0"
            " Mobile Safari/537.36",
            ("Chrome", 121),
        ),
        ("python-requests/2.32.3", None),
        ("okhttp/4.12.0", None),
        ("", None),
    ],
)
def test_a_browser_is_recognized(user_agent: str, browser: tuple[str, int] | None) -> None:
    assert browser_of(user_agent) == browser


@pytest.mark.parametrize(
    ("user_agent", "is_legacy"),
    [
        (CHROME, False),
        (CHROME.replace("131", "62"), True),
        (CHROME.replace("131", "63"), False),
        (f"{CHROME} Edg/131.0.2903.86", False),
        ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", True),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:66.0) Gecko/20100101 Firefox/66.0", True),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:67.0) Gecko/20100101 Firefox/67.0", False),
        (IPHONE, False),
        (IPHONE.replace("17_5", "11_3"), True),
        ("python-requests/2.32.3", False),
    ],
)
def test_old_browsers_are_legacy(user_agent: str, is_legacy: bool) -> None:
    assert drops(Filter.LEGACY_BROWSERS, from_browser(user_agent)) is is_legacy


@pytest.mark.parametrize(
    ("name", "version", "is_legacy"),
    [
        ("IE", "11.0", True),
        ("Chrome Mobile", "62.0", True),
        ("Chrome", "131", False),
        ("Mobile Safari", "11.4", True),
        ("Lynx", "2.8", False),
    ],
)
def test_a_browser_may_be_in_the_contexts_only(name: str, version: str, is_legacy: bool) -> None:
    event = {"contexts": {"browser": {"name": name, "version": version}}}
    assert drops(Filter.LEGACY_BROWSERS, event) is is_legacy


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (GOOGLEBOT, True),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", True),
        (
            "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
            True,
        ),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", True),
        (
            "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
            True,
        ),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", True),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", True),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", True),
        (f"{BOT} GPTBot/1.2; +https://openai.com/gptbot)", True),
        ("Mediapartners-Google", True),
        ("AdsBot-Google (+http://www.google.com/adsbot.html)", True),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", True),
        ("DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", True),
        (CHROME, False),
        (IPHONE, False),
        (
            f"Mozilla/5.0 (Linux; Android 9; CUBOT X19) {KIT} Chrome/120.0.0.0 Mobile Safari/537.36",
            False,
        ),
        (
            f"Mozilla/5.0 (Linux; Android 5.1; CUBOT_NOTE_S) {KIT} Chrome/120.0.0.0 Mobile Safari/537.36",
            False,
        ),
        ("curl/8.5.0", False),
        ("", False),
    ],
)
def test_crawlers_are_recognized(user_agent: str, expected: bool) -> None:
    assert is_crawler(user_agent) is expected
    assert drops(Filter.WEB_CRAWLERS, from_browser(user_agent)) is expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (raised(at="chrome-extension://hlepfoohegkhhmjieoechaddaejaokhf/content.js"), True),
        (raised(at="moz-extension://2d5f/inject.js"), True),
        (raised(at="safari-web-extension://A1/script.js"), True),
        (raised(at="https://gc.kes.v2.scr.kaspersky-labs.com/main.js"), True),
        (raised("Extension context invalidated."), True),
        (raised("Object Not Found Matching Id:3, MethodName:update, ParamCount:4"), True),
        (raised("Can't find variable: ZiteReader", "ReferenceError"), True),
        ({"csp": {"blocked_uri": "chrome-extension://abc"}}, True),
        ({"csp": {"blocked_uri": "https://cdn.example/a.js"}}, False),
        (raised(at="https://shop.example/app.js"), False),
        (raised("Cannot read properties of undefined (reading 'total')", "TypeError"), False),
        ({**raised("Extension context invalidated."), "platform": "python"}, False),
    ],
)
def test_errors_of_browser_extensions_are_recognized(event: dict[str, Any], expected: bool) -> None:
    assert drops(Filter.BROWSER_EXTENSIONS, event) is expected


def test_an_extension_that_calls_the_app_does_not_count_as_the_source_of_the_error() -> None:
    event = raised(at="https://shop.example/app.js")
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    frames.insert(0, {"filename": "chrome-extension://abc/wrap.js"})

    assert not drops(Filter.BROWSER_EXTENSIONS, event)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:3000/pay", True),
        ("http://127.0.0.1/", True),
        ("http://127.8.0.3:9000/", True),
        ("http://0.0.0.0:8000/", True),
        ("http://128.0.0.1/", False),
        ("http://[::1]:8000/", True),
        ("http://shop.localhost:8000/", True),
        ("https://shop.example/?next=http://localhost/", False),
        ("https://localhost.example/", False),
        ("/pay", False),
        ("http://[broken/", False),
    ],
)
def test_local_pages_are_recognized(url: str, expected: bool) -> None:
    assert drops(Filter.LOCALHOST, {"request": {"url": url}}) is expected
    assert drops(Filter.LOCALHOST, {"csp": {"document_uri": url}}) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*ResizeObserver loop*", True),
        ("*resizeobserver LOOP*", True),
        ("Error: ResizeObserver loop limit exceede?", True),
        ("ResizeObserver loop limit exceeded", True),
        ("ResizeObserver", False),
        ("ResizeObserver loop limit [e]xceeded", False),
        ("TypeError: *", False),
    ],
)
def test_a_message_pattern_matches_a_whole_text(pattern: str, expected: bool) -> None:
    event = raised("ResizeObserver loop limit exceeded")
    assert drops(Filter.MESSAGES, event, "unrelated", pattern) is expected


def test_a_message_pattern_matches_messages_with_brackets_and_newlines() -> None:
    event = {"logentry": {"formatted": "[worker 3] failed\nagain"}}
    assert drops(Filter.MESSAGES, event, "[worker ?] *")


@pytest.mark.parametrize(
    ("release", "pattern", "expected"),
    [
        ("shop@1.4.2", "shop@1.*", True),
        ("shop@2.0.0", "shop@1.*", False),
        ("shop@2.0.0-dev", "*-DEV", True),
        ("", "*", False),
    ],
)
def test_a_release_pattern_matches_the_release(release: str, pattern: str, expected: bool) -> None:
    assert drops(Filter.RELEASES, {"release": release}, pattern) is expected


def test_filters_without_patterns_and_unknown_filters_drop_no_event() -> None:
    assert not compile_filters([])
    assert not compile_filters([("messages", []), ("moon_phase", [])])
    assert compile_filters([("localhost", [])])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
MEMBERS = ("request", "csp", "contexts", "release", "platform", "logentry", "exception")


@given(event=st.dictionaries(st.sampled_from(MEMBERS), JSON))
def test_no_shape_of_an_event_makes_a_filter_fail(event: dict[str, Any]) -> None:
    if "exception" in event:
        event["exception"] = {"values": [{"type": None, "value": None, "stacktrace": None}]}
    every = compile_filters([(kind.value, ["a*b"]) for kind in Filter])

    assert every.matching(event) in (None, *Filter)


@given(pattern=st.text(min_size=1, max_size=20), text=st.text(max_size=30))
def test_every_pattern_compiles_and_a_text_without_wildcards_matches_itself(
    pattern: str, text: str
) -> None:
    drops(Filter.MESSAGES, {"logentry": {"formatted": text}}, pattern)
    if not set("*?") & set(pattern):
        assert drops(Filter.MESSAGES, {"logentry": {"formatted": pattern}}, pattern)


def test_a_pattern_with_many_stars_takes_linear_time() -> None:
    pattern, text = "*a" * 99, "a" * 1_998 + "b"
    assert drops(Filter.MESSAGES, {"logentry": {"formatted": "a" * 3_000}}, pattern)
    assert not drops(Filter.MESSAGES, {"logentry": {"formatted": text + "b"}}, pattern + "c")


def test_only_strings_count_as_messages() -> None:
    exception = {"type": 3, "value": None}
    assert messages_of({"exception": {"values": [exception]}, "logentry": {"message": "m"}}) == ["m"]  # fmt: skip
