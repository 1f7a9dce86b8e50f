"""URLs of the alert pages and of the API to run all checks."""

from django.contrib import admin
from django.urls import path

from alerts.views import actions, api, detail, form_previews, inbox, receive, routing

app_name = "alerts"
staff = admin.site.admin_view

urlpatterns = [
    path("api/v1/checks/run/", api.run_checks, name="check-run"),
    path("api/v1/alerts/receive/alertmanager/", receive.alertmanager, name="receive-alertmanager"),
    path("api/v1/alerts/receive/grafana/", receive.grafana, name="receive-grafana"),
    path("api/v1/alerts/receive/generic/", receive.generic, name="receive-generic"),
    path("admin/alerts/", staff(inbox.inbox), name="alert-list"),
    path("admin/alerts/routing/", staff(routing.routing_table), name="routing"),
    path(
        "admin/alerts/routing/<int:pk>/every-type/",
        staff(routing.route_every_type),
        name="route-every-type",
    ),
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
