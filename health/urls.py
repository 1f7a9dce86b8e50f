from django.urls import path

from health.status_urls import status_patterns
from health.views import health, heartbeats, metrics, pings, signals, system_health

app_name = "health"
urlpatterns = [
    path("livez", health.livez, name="liveness"),
    path("readyz", health.readyz, name="readiness"),
    path("health", health.health, name="health"),
    path("metrics", metrics.metrics, name="metrics"),
    *status_patterns,
    path("api/v1/signals/", signals.signals, name="signal-post"),
    path("api/v1/heartbeats/<uuid:key>/", heartbeats.ping, name="heartbeat-ping"),
    path("api/v1/heartbeats/<uuid:key>/<str:step>/", heartbeats.ping, name="heartbeat-step"),
    # Some clients do not follow the redirect by which Django adds a missing slash, so both forms are valid URLs.
    path("ping/<uuid:key>", pings.ping, name="ping"),
    path("ping/<uuid:key>/", pings.ping),
    path("ping/<uuid:key>/<str:step>", pings.ping, name="ping-step"),
    path("ping/<uuid:key>/<str:step>/", pings.ping),
    path("ping/<str:app_key>/<slug:slug>", pings.ping_slug, name="ping-slug"),
    path("ping/<str:app_key>/<slug:slug>/", pings.ping_slug),
    path("ping/<str:app_key>/<slug:slug>/<str:step>", pings.ping_slug, name="ping-slug-step"),
    path("ping/<str:app_key>/<slug:slug>/<str:step>/", pings.ping_slug),
    path("admin/system-health/", system_health.page, name="system-health"),
    path(
        "admin/system-health/first-steps/dismiss/",
        system_health.dismiss_first_steps,
        name="dismiss-first-steps",
    ),
    path("admin/system-health/uptime/", system_health.uptime_page, name="uptime"),
    path("admin/system-health/interval/", system_health.interval, name="interval"),
    path("admin/system-health/widgets/<str:name>/", system_health.widget, name="widget"),
]
