from django.urls import path

from payments.views import api, webhooks

app_name = "payments"
urlpatterns = [
    path("api/v1/payments/", api.create, name="payment-create"),
    path("api/v1/payments/<uuid:reference>/", api.read, name="payment-read"),
    path("api/v1/payments/<uuid:reference>/cancel/", api.cancel, name="payment-cancel"),
    path("api/v1/webhooks/stripe/", webhooks.receive, name="webhook-receive"),
    path("api/v1/webhooks/stripe/<slug:endpoint>/", webhooks.receive, name="webhook-endpoint"),
]
