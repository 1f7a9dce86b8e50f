"""Map the URLs of the alert pages and of the API."""

from django.contrib import admin
from django.urls import path

from alerts.views import (
    actions,
    api,
    detail,
    form_previews,
    inbox,
    noise,
    on_call,
    receive,
    replies,
    routing,
)

app_name = "alerts"
staff = admin.site.admin_view

urlpatterns = [
    path("api/v1/checks/run/", api.run_checks, name="check-run"),
    path("api/v1/alerts/receive/alertmanager/", receive.alertmanager, name="receive-alertmanager"),
    path("api/v1/alerts/receive/grafana/", receive.grafana, name="receive-grafana"),
    path("api/v1/alerts/receive/generic/", receive.generic, name="receive-generic"),
    path("alerts/replies/sms/<int:pk>/", replies.sms, name="reply-sms"),
    path("alerts/replies/voice/<str:token>/", replies.voice, name="reply-voice"),
    path("alerts/replies/slack/<int:pk>/", replies.slack_button, name="reply-slack"),
    path("a/<str:token>/", replies.link, name="action-link"),
    path("on-call/<str:token>.ics", on_call.feed, name="on-call-feed"),
    path("api/v1/on-call/", on_call.api_now, name="on-call-now"),
    path("api/v1/on-call/<int:pk>/shifts/", on_call.api_shifts, name="on-call-shifts"),
    path("api/v1/on-call/<int:pk>/overrides/", on_call.api_overrides, name="on-call-overrides"),
    path(
        "api/v1/on-call/<int:pk>/overrides/<int:override_id>/",
        on_call.api_override,
        name="on-call-override",
    ),
    path("admin/alerts/on-call/", staff(on_call.page), name="on-call"),
    path("admin/alerts/on-call/<int:pk>/", staff(on_call.schedule_page), name="on-call-schedule"),
    path(
        "admin/alerts/on-call/<int:pk>/override/",
        staff(on_call.add_override),
        name="on-call-override-add",
    ),
    path(
        "admin/alerts/on-call/<int:pk>/new-address/",
        staff(on_call.renew_feed),
        name="on-call-feed-renew",
    ),
    path("admin/alerts/", staff(inbox.inbox), name="alert-list"),
    path("admin/alerts/routing/", staff(routing.routing_table), name="routing"),
    path(
        "admin/alerts/routing/<int:pk>/every-type/",
        staff(routing.route_every_type),
        name="route-every-type",
    ),
    path("admin/alerts/noise/", staff(noise.page), name="noise"),
    path("admin/alerts/noise/search/", staff(noise.search), name="noise-search"),
    path("admin/alerts/noise/<int:pk>/use/", staff(noise.use), name="noise-use"),
    path("admin/alerts/act/", staff(actions.bulk), name="alert-bulk"),
    path("admin/alerts/run-checks/", staff(actions.run_checks), name="check-run-now"),
    path(
        "admin/alerts/silence-preview/",
        staff(form_previews.silence_preview),
        name="silence-preview",
    ),
    path(
        "admin/alerts/rule/<int:pk>/preview/",
        staff(form_previews.rule_preview),
        name="rule-preview",
    ),
    path(
        "admin/alerts/rule/preview/",
        staff(form_previews.new_rule_preview),
        name="new-rule-preview",
    ),
    path("admin/alerts/rule/metrics/", staff(form_previews.known_metrics), name="known-metrics"),
    path("admin/alerts/undo/<uuid:batch>/", staff(actions.undo), name="alert-undo"),
    path("admin/alerts/complete/", staff(inbox.complete), name="alert-complete"),
    path("admin/alerts/<int:pk>/", staff(detail.alert_detail), name="alert-page"),
    path("admin/alerts/<int:pk>/act/", staff(actions.act), name="alert-act"),
    path("admin/alerts/<int:pk>/dismiss/", staff(actions.dismiss), name="alert-dismiss"),
    path(
        "admin/alerts/<int:pk>/acknowledge/", staff(actions.acknowledge), name="alert-acknowledge"
    ),
    path(
        "admin/alerts/message/<int:pk>/resend/", staff(actions.resend), name="notification-resend"
    ),
]
