from django.urls import path

from reservations.views import api, availability

app_name = "reservations"
urlpatterns = [
    path("api/v1/availability/", availability.availability, name="availability"),
    path("api/v1/availability/<slug:slug>/", availability.availability, name="availability-event"),
    path("api/v1/reservations/", api.create, name="reservation-create"),
    path("api/v1/reservations/stats/", api.stats, name="reservation-stats"),
    path("api/v1/reservations/<uuid:reference>/", api.read, name="reservation-read"),
    path("api/v1/reservations/<uuid:reference>/extend/", api.extend, name="reservation-extend"),
    path("api/v1/reservations/<uuid:reference>/cancel/", api.cancel, name="reservation-cancel"),
    path(
        "api/v1/reservations/<uuid:reference>/complete/", api.complete, name="reservation-complete"
    ),
]
