"""Decide which errors an app's inbound filters drop. This module does not use the database.

Filters check the normalized, scrubbed event. Therefore, a preview on stored events gives the same results as ingestion.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from errors.event.accessors import exceptions_of, frames_of, logentry_of

MAX_PATTERNS = 100
MAX_PATTERN_LENGTH = 200
_MAX_TEXT_LENGTH = 2_000


class Filter(StrEnum):
    BROWSER_EXTENSIONS = "browser_extensions"
    LOCALHOST = "localhost"
    LEGACY_BROWSERS = "legacy_browsers"
    WEB_CRAWLERS = "web_crawlers"
    MESSAGES = "messages"
    RELEASES = "releases"


NAMES = frozenset(kind.value for kind in Filter)
TAKES_PATTERNS = frozenset((Filter.MESSAGES, Filter.RELEASES))

Event = Mapping[str, Any]
Check = Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class Filters:
    """The enabled filters of an app. An instance without filters is falsy."""

    checks: tuple[tuple[Filter, Check], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.checks)

    def matching(self, event: Event) -> Filter | None:
        """Return the first filter that drops the event, or None."""
        for kind, check in self.checks:
            if check(event):
                return kind
        return None


def compile_filters(chosen: Iterable[tuple[str, Sequence[str]]]) -> Filters:
    """Compile filters from their names and patterns.

    Unknown names, which a newer version stored, and filters that lack their patterns are ignored.
    """
    checks: list[tuple[Filter, Check]] = []
    for name, patterns in chosen:
        if name not in NAMES:
            continue
        kind = Filter(name)
        if kind not in TAKES_PATTERNS:
            checks.append((kind, _CHECKS[kind]))
        elif patterns:
            checks.append((kind, _PatternCheck(kind, patterns)))
    return Filters(tuple(checks))


# --- patterns --------------------------------------------------------------------------------------------
class _PatternCheck:
    """A check of an event's messages or release against patterns with `*` and `?`, ignoring case."""

    def __init__(self, kind: Filter, patterns: Sequence[str]) -> None:
        one = "|".join(_as_regex(pattern) for pattern in patterns[:MAX_PATTERNS])
        self._matches = re.compile(one, re.IGNORECASE | re.DOTALL).match
        self._texts = messages_of if kind is Filter.MESSAGES else _releases_of

    def __call__(self, event: Event) -> bool:
        return any(self._matches(text) for text in self._texts(event))


def _as_regex(pattern: str) -> str:
    """Return a regular expression for the pattern. Brackets are literal, because messages often contain them.

    Each `*` matches in linear time, so a pattern cannot cause catastrophic backtracking.
    """
    escaped = pattern[:MAX_PATTERN_LENGTH].replace("[", "[[]")
    return f"(?:{fnmatch.translate(escaped)})"


def messages_of(event: Event) -> list[str]:
    """Return the texts to match patterns against: the message, and `value` and `type: value` of each exception."""
    texts = []
    for exception in exceptions_of(event):
        value, kind = _text(exception.get("value")), _text(exception.get("type"))
        texts += [value, f"{kind}: {value}"] if kind else [value]
    entry = logentry_of(event)
    texts += [_text(entry.get("formatted")), _text(entry.get("message"))]
    return [text[:_MAX_TEXT_LENGTH] for text in texts if text]


def _releases_of(event: Event) -> list[str]:
    release = _text(event.get("release"))
    return [release] if release else []


# --- browser extensions ----------------------------------------------------------------------------------
_EXTENSION_SCHEMES = (
    "chrome-extension:", "moz-extension:", "safari-extension:", "safari-web-extension:", "ms-browser-extension:",
    "webkit-masked-url:", "chrome:", "resource:",
)  # fmt: skip
# A script whose URL contains one of these parts belongs to an extension, a toolbar or a virus scanner.
_EXTENSION_PLACES = (
    "127.0.0.1:4001/isrunning", "kaspersky-labs.com", "webappstoolbarba.texthelp.com", "metrics.itunes.apple.com",
    "/extensions/", "superfish.com",
)  # fmt: skip
# These messages come from the scripts of extensions, toolbars and apps with an embedded browser.
_EXTENSION_MESSAGES = re.compile(
    r"top\.GLOBALS|originalCreateNotification|canvas\.contentDocument|MyApp_RemoveAllHighlights|atomicFindClose"
    r"|fb_xd_fragment|bmi_SafeAddOnload|EBCallBackMessageReceived|conduitPage|ZiteReader|ComboSearch|__gCrWeb"
    r"|jigsaw is not defined|plugin\.setSuspendState|Extension context invalidated|_avast_submit|AvastWRC"
    r"|Could not establish connection\. Receiving end does not exist"
    r"|A listener indicated an asynchronous response by returning true, but the message channel closed"
    r"|Object Not Found Matching Id:\d+|window\.__firefox__|webkit\.messageHandlers\.\w+ (?:is|was) undefined"
    r"|Cannot redefine property: (?:ethereum|googletag)|chrome\.runtime"
)


def _is_from_extension(event: Event) -> bool:
    csp = event.get("csp")
    if isinstance(csp, dict):
        places = [csp.get(name) for name in ("source_file", "blocked_uri")]
        return any(_is_extension_place(_text(place)) for place in places)
    if event.get("platform") not in ("javascript", None):
        return False
    for exception in exceptions_of(event):
        frames = frames_of(exception.get("stacktrace"))
        last = frames[-1] if frames and isinstance(frames[-1], dict) else {}
        if _is_extension_place(_text(last.get("abs_path") or last.get("filename"))):
            return True
    return any(_EXTENSION_MESSAGES.search(text) for text in messages_of(event))


def _is_extension_place(place: str) -> bool:
    lowered = place.lower()
    return lowered.startswith(_EXTENSION_SCHEMES) or any(
        part in lowered for part in _EXTENSION_PLACES
    )


# --- localhost -------------------------------------------------------------------------------------------
_LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1", "0.0.0.0"))  # noqa: S104  compared, not bound


def _is_local(event: Event) -> bool:
    request = event.get("request")
    url = _text(request.get("url")) if isinstance(request, dict) else ""
    csp = event.get("csp")
    if isinstance(csp, dict):
        url = url or _text(csp.get("document_uri"))
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in _LOCAL_HOSTS or host.endswith(".localhost") or host.startswith("127.")


# --- browsers --------------------------------------------------------------------------------------------
# Versions below these are legacy, and so is every version of Internet Explorer.
LEGACY_BELOW = {
    "Edge": 79,
    "Chrome": 63,
    "Firefox": 67,
    "Safari": 12,
    "Opera": 51,
    "Opera Mini": 35,
    "Android Browser": 5,
}
_IOS = re.compile(r"(?:iPhone|iPad|iPod).{0,60}? OS (\d{1,3})[_ ]")
# The order matters, because a user agent also names the browsers from which the browser is derived.
_BROWSERS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Opera Mini", re.compile(r"Opera Mini/(\d{1,4})")),
    ("Opera", re.compile(r"OPR/(\d{1,4})")),
    ("Opera", re.compile(r"^Opera/(?:9\.80.*Version/)?(\d{1,4})")),
    ("Edge", re.compile(r"(?:Edge|EdgA?)/(\d{1,4})")),
    ("Chrome", re.compile(r"(?:Chrome|Chromium)/(\d{1,4})")),
    ("Firefox", re.compile(r"Firefox/(\d{1,4})")),
    ("Android Browser", re.compile(r"Android (\d{1,4}).*Version/\d")),
    ("Safari", re.compile(r"Version/(\d{1,4})[\d.]* (?:Mobile/\w+ )?Safari/")),
)
_EXPLORER = re.compile(r"\bMSIE \d|\bTrident/\d|\bIEMobile/")


def browser_of(user_agent: str) -> tuple[str, int] | None:
    """Return the name and the major version of the browser, or None for other programs.

    All browsers on iOS except Opera Mini count as Safari with the version of the operating system. The version of
    Internet Explorer is 0.
    """
    if _EXPLORER.search(user_agent):
        return "Internet Explorer", 0
    ios = _IOS.search(user_agent)
    if ios and "Opera Mini" not in user_agent:
        return "Safari", int(ios[1])
    for name, pattern in _BROWSERS:
        match = pattern.search(user_agent)
        if match:
            return name, int(match[1])
    return None


def _is_legacy(event: Event) -> bool:
    browser = browser_of(user_agent_of(event)) or _browser_in_contexts(event)
    if browser is None:
        return False
    name, version = browser
    return name == "Internet Explorer" or version < LEGACY_BELOW.get(name, 0)


_BROWSER_NAMES = {
    "ie": "Internet Explorer",
    "edge mobile": "Edge",
    "chrome mobile": "Chrome",
    "firefox mobile": "Firefox",
    "mobile safari": "Safari",
    "android": "Android Browser",
}


def _browser_in_contexts(event: Event) -> tuple[str, int] | None:
    contexts = event.get("contexts")
    browser = contexts.get("browser") if isinstance(contexts, dict) else None
    if not isinstance(browser, dict):
        return None
    name = _text(browser.get("name"))
    version = re.match(r"\d{1,4}", _text(browser.get("version")))
    if not name or version is None:
        return None
    return _BROWSER_NAMES.get(name.lower(), name), int(version[0])


# --- web crawlers ----------------------------------------------------------------------------------------
# The pattern excludes CUBOT, a brand of phones.
_CRAWLER = re.compile(
    r"(?<!\bcu)(?:bots?\b|bot[/;_-])|crawl(?:er|ing)|\bspider|spider\b|\bslurp\b|facebookexternalhit|facebookcatalog"
    r"|meta-externalagent|mediapartners-google|adsbot|feedfetcher|google-(?:read-aloud|inspectiontool|safety)"
    r"|googleother|bingpreview|ia_archiver|pingdom|whatsapp/|embedly|quora link preview|\bapis-google"
    r"|amazon-route53-health|elb-healthchecker|yandex(?:images|video|media|metrika)|lighthouse|sogou web",
    re.IGNORECASE,
)


def is_crawler(user_agent: str) -> bool:
    return _CRAWLER.search(user_agent) is not None


def user_agent_of(event: Event) -> str:
    request = event.get("request")
    headers = request.get("headers") if isinstance(request, dict) else None
    for name, value in headers.items() if isinstance(headers, dict) else ():
        if isinstance(name, str) and name.lower() == "user-agent":
            return _text(value)[:1_000]
    return ""


def _is_from_crawler(event: Event) -> bool:
    return is_crawler(user_agent_of(event))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_CHECKS: dict[Filter, Check] = {
    Filter.BROWSER_EXTENSIONS: _is_from_extension,
    Filter.LOCALHOST: _is_local,
    Filter.LEGACY_BROWSERS: _is_legacy,
    Filter.WEB_CRAWLERS: _is_from_crawler,
}
