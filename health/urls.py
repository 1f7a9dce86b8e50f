from django.urls import path

from health.views import (
    health,
    heartbeats,
    metrics,
    pings,
    signals,
    status_page,
    subscriptions,
    system_health,
)

app_name = "health"
urlpatterns = [
    path("livez", health.livez, name="liveness"),
    path("readyz", health.readyz, name="readiness"),
    path("health", health.health, name="health"),
    path("metrics", metrics.metrics, name="metrics"),
    path("status/", status_page.page, name="status-page"),
    path("status/status.json", status_page.as_json, name="status-json"),
    path("status/feed.atom", status_page.feed, name="status-feed"),
    path("status/history/", status_page.history, name="status-history"),
    path("status/badge.svg", status_page.badge, name="status-badge"),
    path("status/badge/<str:slug>.svg", status_page.badge, name="component-badge"),
    path("status/subscribe/", subscriptions.subscribe, name="status-subscribe"),
    path("status/confirm/<str:token>/", subscriptions.confirm, name="status-confirm"),
    path("status/leave/<str:token>/", subscriptions.leave, name="status-leave"),
    path("api/v1/signals/", signals.signals, name="signal-post"),
    path("api/v1/heartbeats/<uuid:key>/", heartbeats.ping, name="heartbeat-ping"),
    path("api/v1/heartbeats/<uuid:key>/<str:step>/", heartbeats.ping, name="heartbeat-step"),
    # Some clients do not follow the redirect with which Django adds a missing slash, so both forms are addresses.
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
