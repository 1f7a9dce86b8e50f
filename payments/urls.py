"""Map the URLs of the payment API, Stripe's webhook calls and the staff pages."""

from django.contrib import admin
from django.urls import path

from payments.views import actions, api, pages, webhooks

app_name = "payments"
staff = admin.site.admin_view

urlpatterns = [
    path("api/v1/payments/", api.create, name="payment-create"),
    path("api/v1/payments/<uuid:reference>/", api.read, name="payment-read"),
    path("api/v1/payments/<uuid:reference>/cancel/", api.cancel, name="payment-cancel"),
    path("api/v1/webhooks/stripe/", webhooks.receive, name="webhook-receive"),
    path("api/v1/webhooks/stripe/<slug:endpoint>/", webhooks.receive, name="webhook-endpoint"),
    path("admin/payments/", staff(pages.overview), name="overview"),
    path("admin/payments/<uuid:reference>/", staff(pages.payment_page), name="payment-page"),
    path("admin/payments/<uuid:reference>/refund/", staff(actions.refund), name="payment-refund"),
    path("admin/payments/events/fetch/", staff(actions.fetch_event), name="event-fetch"),
    path(
        "admin/payments/events/<int:pk>/replay/", staff(actions.replay_event), name="event-replay"
    ),
    path(
        "admin/payments/events/<int:pk>/ignore/", staff(actions.ignore_event), name="event-ignore"
    ),
    path(
        "admin/payments/mismatches/<int:pk>/settle/",
        staff(actions.settle_mismatch),
        name="mismatch-settle",
    ),
]
