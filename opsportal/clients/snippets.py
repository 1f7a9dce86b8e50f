"""What to paste into an app so that it reports here. Any official Sentry SDK does; only the DSN is ours."""

from dataclasses import dataclass

from django.conf import settings

from opsportal.clients.models import ClientApp, ClientKey, Platform


@dataclass(frozen=True)
class Snippet:
    id: str
    title: str
    code: str


_SDKS = {
    Platform.PYTHON: ("Python", 'pip install sentry-sdk\n\nimport sentry_sdk\nsentry_sdk.init(dsn="{dsn}")'),
    Platform.NODE: ("Node", 'npm install @sentry/node\n\nrequire("@sentry/node").init({{ dsn: "{dsn}" }});'),
    Platform.JAVASCRIPT: (
        "Browser",
        'npm install @sentry/browser\n\nimport * as Sentry from "@sentry/browser";\nSentry.init({{ dsn: "{dsn}" }});',
    ),
    Platform.PHP: ("PHP", "composer require sentry/sentry\n\n\\Sentry\\init(['dsn' => '{dsn}']);"),
    Platform.RUBY: ("Ruby", 'gem install sentry-ruby\n\nSentry.init {{ |config| config.dsn = "{dsn}" }}'),
    Platform.GO: (
        "Go",
        'go get github.com/getsentry/sentry-go\n\nsentry.Init(sentry.ClientOptions{{Dsn: "{dsn}"}})',
    ),
    Platform.JAVA: ("Java", 'io.sentry:sentry\n\nSentry.init(options -> options.setDsn("{dsn}"));'),
    Platform.DOTNET: (".NET", 'dotnet add package Sentry\n\nSentrySdk.Init(o => o.Dsn = "{dsn}");'),
}  # fmt: skip
_CURL = """curl -sS {base}/api/v1/errors/ \\
  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"message": "Hello, portal", "severity": "critical"}}'"""


def for_app(app: ClientApp, key: ClientKey) -> list[Snippet]:
    """The app's own platform first, or all of them when it is none of these; then curl."""
    chosen = [Platform(app.platform)] if app.platform in _SDKS else list(_SDKS)
    made = [
        Snippet(f"snippet-{platform}", title, code.format(dsn=key.dsn))
        for platform in chosen
        for title, code in [_SDKS[platform]]
    ]
    curl = _CURL.format(base=settings.BASE_URL, key=key.public_key)
    return [*made, Snippet("snippet-curl", "Without an SDK", curl)]
