"""Map the URLs of the status page.

On the portal's host, their paths begin with /status/. A separate domain for the status page has no other URLs.
"""

from django.urls import include, path

from health.views import status_page, subscriptions

status_patterns = [
    path("status/", status_page.page, name="status-page"),
    path("status/status.json", status_page.as_json, name="status-json"),
    path("status/feed.atom", status_page.feed, name="status-feed"),
    path("status/history/", status_page.history, name="status-history"),
    path("status/logo", status_page.logo, name="status-logo"),
    path("status/colors.css", status_page.colors, name="status-colors"),
    path("status/badge.svg", status_page.badge, name="status-badge"),
    path("status/badge/<str:slug>.svg", status_page.badge, name="component-badge"),
    path("status/subscribe/", subscriptions.subscribe, name="status-subscribe"),
    path("status/subscribe/webhook/", subscriptions.subscribe_webhook, name="webhook-subscribe"),
    path("status/confirm/<str:token>/", subscriptions.confirm, name="status-confirm"),
    path("status/leave/<str:token>/", subscriptions.leave, name="status-leave"),
]
urlpatterns = [
    path("", status_page.page),
    path("", include((status_patterns, "health"))),
]
