"""Map the URLs of the reservation API, the ticket availability and the staff pages."""

from django.contrib import admin
from django.urls import path

from reservations.views import actions, api, availability, cancellation, pages, waiting

app_name = "reservations"
staff = admin.site.admin_view

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
    path("api/v1/waiting-list/", waiting.waiting_list, name="waiting-list"),
    path("api/v1/waiting-list/<uuid:reference>/", waiting.read, name="waiting-read"),
    path("api/v1/waiting-list/<uuid:reference>/leave/", waiting.leave, name="waiting-leave"),
    path("admin/reservations/", staff(pages.overview), name="overview"),
    path("admin/reservations/inbox/", staff(pages.inbox), name="inbox"),
    path("admin/reservations/inbox/<int:pk>/settle/", staff(actions.settle), name="settle"),
    path("admin/reservations/events/<slug:slug>/", staff(pages.event_page), name="event-page"),
    path(
        "admin/reservations/events/<slug:slug>/cancel/",
        staff(cancellation.cancel_event),
        name="event-cancel",
    ),
    path(
        "admin/reservations/events/<slug:slug>/cancellation/",
        staff(cancellation.cancellation_page),
        name="cancellation",
    ),
    path(
        "admin/reservations/events/<slug:slug>/cancellation/retry/",
        staff(cancellation.retry_failed),
        name="cancellation-retry",
    ),
    path(
        "admin/reservations/<uuid:reference>/",
        staff(pages.reservation_page),
        name="reservation-page",
    ),
    path(
        "admin/reservations/<uuid:reference>/release/",
        staff(actions.release),
        name="reservation-release",
    ),
    path(
        "admin/reservations/<uuid:reference>/prolong/",
        staff(actions.extend),
        name="reservation-prolong",
    ),
]
