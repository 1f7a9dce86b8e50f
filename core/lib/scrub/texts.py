"""Find and filter the parts of texts that look like personal data or secrets.

Except in _PEM, which always matches up to its end mark or the end of the text, every repetition in the patterns is
bounded or possessive, so that each pattern takes linear time.
"""

import base64
import binascii
import ipaddress
import re

FILTERED = "[Filtered]"
_URL_PASSWORD = re.compile(r"(://[^/\s:@\"']{0,100}+:)[^\s/@\"']{1,200}+(?=@)")
# The pattern starts only at the beginning of a run of local-part characters, so that each run is tried once. In query
# strings, @ is written as %40.
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]++(?:@|%40)((?:[^\W_](?:[\w-]{0,62}+)\.){1,8}[^\W\d_]{2,24})(?![\w-])"
)
_EMAIL_IN_ID = re.compile(r"[\w.+-](?:@|%40)(?:[^\W_][\w-]{0,62}\.){1,8}[^\W\d_]{2,24}")
_NOT_A_DOMAIN = frozenset(("js", "mjs", "cjs", "jsx", "ts", "tsx", "css", "map", "json", "html", "vue"))  # fmt: skip
# After a word and a slash, four numbers are not an address: Chrome/129.0.0.0 is a version.
_IPV4 = re.compile(
    r"(?<![\w.])(?<!\w/)(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|\.\d)"
)
_IPV4_HINT = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4})?(?![\w:])"
)
_IPV6_HINT = re.compile(r":(?:[0-9A-Fa-f]{1,4}:|:[0-9A-Fa-f])")
# Matches Visa, Mastercard, Amex, Diners, JCB and Discover. Timestamps in milliseconds start with 1, so they do not
# match.
_CARD = re.compile(
    r"(?<!\d)(?<!\d\.)(?:4|5[1-5]|2[2-7]|3[04-9]|6)(?:[ -]?\d){11,18}(?![ -]?\d)", re.ASCII
)
# The digits are grouped as on printed cards. Other numbers, such as the expiry date, may follow them.
_PRINTED_CARD = re.compile(
    r"(?<!\d)(?<!\d\.)(?:(?:4\d|5[1-5]|2[2-7]|3[05-9]|6\d)\d\d(?:[ -]\d{4}){3}"
    r"|3[04-9]\d\d[ -]\d{6}[ -]\d{4,5}|(?:4|5[1-5]|2[2-7]|3[04-9]|6)\d{11,18})(?!\d)",
    re.ASCII,
)
_CARD_HINT = re.compile(r"\d{4}[ -]?\d{4,6}[ -]?\d{4}", re.ASCII)
_SCHEME_AND_TOKEN = re.compile(
    r"\b(bearer|basic)(\s{1,4})([\w.~+/=-]{6,4096}+)", re.IGNORECASE | re.ASCII
)
# Matches words with dots; _jwt decides which of them are JSON Web Tokens. (`eyJ[\w-]{8,}\.` would start again at every
# `-eyJ` in a word, which takes hours for a megabyte.)
_DOTTED = re.compile(r"(?<![\w.-])[\w.-]{16,}+")
_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# Matches keys of Stripe and other vendors. The intent's id before `_secret_` is kept, because it is not secret and
# refers to the payment.
_VENDOR_KEY = re.compile(
    r"\b(?:sk|rk)_(?:live|test)_\w{6,}+|\bwhsec_[\w+/=]{6,}+|\bops_[\w-]{24,}+|(?<=_secret_)\w{6,}+"
    r"|\bgh[pousr]_\w{30,}+|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-[\w-]{10,}+|\bAIza[\w-]{30,}+"
)
# The marker "gh" below covers ghp_, gho_, ghu_ and so on.
_MARKERS_WITHOUT_UNDERSCORE = ("AKIA", "xox", "AIza")
_VENDOR_MARKERS = (*_MARKERS_WITHOUT_UNDERSCORE, "_live_", "_test_", "whsec_", "ops_", "_secret_", "gh")  # fmt: skip
# A text without any of these cannot match _ASSIGNED, which finds password=x, "token": "x" and api_key='x' in texts. In
# nested JSON, quotes have backslashes.
_ASSIGNED_MARKERS = (
    "pass", "auth", "token", "secret", "api", "sess", "access", "credential", "private", "pwd", "otp", "cv", "csrf",
)  # fmt: skip
_ASSIGNED = re.compile(
    r"((?:passw(?:or)?d|passphrase|passcode|secret|api[_-]?key|credentials?|private[_-]?key|access[_-]?key"
    r"|authorization|(?<![a-z])(?:auth|pwd|otp|cvv|cvc)(?![a-z])|token(?![\w-])|sess(?:ion)?[_-]?id|csrf)"
    r"[\w-]{0,40}+\\{0,4}+[\"']?\s{0,4}(?:=>?|:|%3D)\s{0,4}\\{0,4}+)"
    r"(?:\"[^\"\\]{1,4096}+|'[^'\\]{1,4096}+"
    r"|(?!\[Filtered|(?:None|null|true|false)\b)(?:(?:basic|bearer|digest|token|negotiate)\s{1,4}+)?[^\s\"'\\&,;)}\]]{1,4096}+)",
    re.IGNORECASE,
)
# A faster pattern that matches every text, in ASCII lower case, that _ASSIGNED matches.
_ASSIGNED_HINT = re.compile(
    r"(?:pass[wpc]|secret|api|credential|private|access|auth|pwd|otp|cv[vc]|token|sess|csrf)"
    r"[\w-]{0,60}+[\\\"'\s]{0,12}(?:[=:]|%3d)"
)
_COOKIES = re.compile(
    r"((?<![a-z])cookies?\\{0,4}+[\"']?\s{0,4}[:=]\s{0,4})[^\n]{1,8192}+", re.IGNORECASE
)


def _email(match: re.Match[str]) -> str:
    is_file = match[1].rpartition(".")[2].lower() in _NOT_A_DOMAIN
    return match[0] if is_file else FILTERED


def _ipv6(match: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(match[0])
    except ValueError:
        return match[0]
    # Without a digit and with few colons, such as dead::beef, the text is more likely code than an address.
    is_address = any(c.isdigit() for c in match[0]) or match[0].count(":") > 2
    return FILTERED if is_address else match[0]


def passes_luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def _card(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return FILTERED if passes_luhn(digits) else match[0]


def _scheme_and_token(match: re.Match[str]) -> str:
    """Filter `Bearer eyJ…`, but not prose such as "basic authentication failed"."""
    value = match[3]
    if match[1].lower() == "basic":
        try:
            is_token = b":" in base64.b64decode(value + "=" * (-len(value) % 4))
        except (binascii.Error, ValueError):
            is_token = False
    else:
        is_token = len(value) >= 20 or any(character.isdigit() for character in value)
    return f"{match[1]}{match[2]}{FILTERED}" if is_token else match[0]


def _jwt(match: re.Match[str]) -> str:
    """Filter `header.payload.signature`. A header starts with eyJ, which is `{"` in base64."""
    parts = match[0].split(".")
    kept = []
    place = 0
    while place < len(parts):
        part = parts[place]
        start = 0 if part.startswith("eyJ") else part.find("-eyJ") + 1 or len(part)
        if len(part) - start >= 11 and place + 1 < len(parts) and len(parts[place + 1]) >= 4:
            kept.append(part[:start] + FILTERED)
            place += 3
        else:
            kept.append(part)
            place += 1
    return ".".join(kept)


def _assigned(match: re.Match[str]) -> str:
    quote = match[0][len(match[1])]
    return match[1] + (quote if quote in "\"'" else "") + FILTERED


def has_email_address(text: str) -> bool:
    """Return True if an identifier contains an e-mail address, even if other characters directly follow the address."""
    return ("@" in text or "%40" in text) and _EMAIL_IN_ID.search(text) is not None


def scrub_text(text: str) -> str:
    """Return the text with personal data and secrets replaced; the rest stays readable."""
    # Fast path for short names and numbers. A secret that consists only of word characters has at least 12.
    if len(text) < 12 and (text.isalnum() or text.isidentifier()):
        return text
    # A substring search is much faster than a pattern, so each pattern runs only if a substring indicates a match.
    if "@" in text or "%40" in text:
        if "://" in text:
            text = _URL_PASSWORD.sub(r"\1" + FILTERED, text)
        text = _EMAIL.sub(_email, text)
    if len(text) >= 12:
        text = _scrub_keys(text)
    has_colon = ":" in text
    if has_colon or "=" in text or "%3D" in text:
        lowered = text.lower()
        for marker in _ASSIGNED_MARKERS:
            if marker in lowered:
                if not lowered.isascii() or _ASSIGNED_HINT.search(lowered):
                    text = _ASSIGNED.sub(_assigned, text)
                break
        if "cookie" in lowered:
            text = _COOKIES.sub(r"\1" + FILTERED, text)
        if has_colon and _IPV6_HINT.search(text):
            text = _IPV6.sub(_ipv6, text)
    if len(text) >= 12 and _CARD_HINT.search(text):
        text = _CARD.sub(_card, _PRINTED_CARD.sub(_card, text))
    if "." in text and _IPV4_HINT.search(text):
        text = _IPV4.sub(FILTERED, text)
    return text


def _scrub_keys(text: str) -> str:
    if "earer" in text or "asic " in text or "BEARER" in text or "BASIC " in text:
        text = _SCHEME_AND_TOKEN.sub(_scheme_and_token, text)
    if "eyJ" in text:
        text = _DOTTED.sub(_jwt, text)
    for marker in _VENDOR_MARKERS if "_" in text else _MARKERS_WITHOUT_UNDERSCORE:
        if marker in text:
            text = _VENDOR_KEY.sub(FILTERED, text)
            break
    if "-----BEGIN" in text:
        text = _PEM.sub(FILTERED, text)
    return text


MIN_CARD_NUMBER = 10**11
_CARD_NUMBER_LIMIT = 10**19


def is_card_number(value: float) -> bool:
    if not MIN_CARD_NUMBER <= abs(value) < _CARD_NUMBER_LIMIT:
        return False
    digits = str(abs(int(value)))
    return _CARD.sub(_card, digits) != digits
