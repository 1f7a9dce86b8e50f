"""Create code snippets that make an app report to the portal. Any Sentry SDK works with the portal's DSN."""

from dataclasses import dataclass

from django.conf import settings

from core.clients.models import ApiKey, ClientApp, ClientKey, Platform, Scope


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

_CI = """export SENTRY_URL={base} SENTRY_ORG=opsportal SENTRY_PROJECT={slug} SENTRY_AUTH_TOKEN={secret}
npx @sentry/cli sourcemaps inject ./dist && npx @sentry/cli sourcemaps upload --release "$VERSION" ./dist"""


_ALERTMANAGER = """receivers:
- name: opsportal
  webhook_configs:
  - url: {base}/api/v1/alerts/receive/alertmanager/
    http_config:
      authorization: {{credentials: {secret}}}"""
_GRAFANA = """Integration: Webhook
URL: {base}/api/v1/alerts/receive/grafana/
Authorization header, scheme: Bearer
Authorization header, credentials: {secret}"""
_ALERT = """curl -sS {base}/api/v1/alerts/receive/generic/ \\
  -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' \\
  -d '{{"key": "gate-4", "title": "Gate 4 is offline", "severity": "high", "status": "firing"}}'"""

_BY_SCOPE = {
    Scope.RELEASES: [("ci", "Upload source maps from CI", _CI)],
    Scope.ALERTS: [
        ("alertmanager", "Receive alerts from Alertmanager (alertmanager.yml)", _ALERTMANAGER),
        ("grafana", "Receive alerts from Grafana (new contact point)", _GRAFANA),
        ("alert", 'Receive alerts from other systems (status "resolved" ends the alert)', _ALERT),
    ],
}


def for_api_key(app: ClientApp, key: ApiKey, secret: str) -> list[Snippet]:
    """Return the snippets for CI or other systems that use a new key, depending on the key's scopes."""
    return [
        Snippet(
            f"snippet-{name}",
            title,
            code.format(base=settings.BASE_URL, slug=app.slug, secret=secret),
        )
        for scope, snippets in _BY_SCOPE.items()
        if scope in key.scopes
        for name, title, code in snippets
    ]


def for_app(app: ClientApp, key: ClientKey) -> list[Snippet]:
    """Return the snippet for the app's platform, or the snippets for all platforms, followed by one for curl."""
    platforms = [Platform(app.platform)] if app.platform in _SDKS else list(_SDKS)
    snippets = [
        Snippet(f"snippet-{platform}", title, code.format(dsn=key.dsn))
        for platform in platforms
        for title, code in [_SDKS[platform]]
    ]
    curl = _CURL.format(base=settings.BASE_URL, key=key.public_key)
    return [*snippets, Snippet("snippet-curl", "Without an SDK", curl)]
