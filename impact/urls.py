"""Map the URLs of the pages about affected orders, win-back lists and a person's data, and of the API."""

from django.contrib import admin
from django.urls import path

from impact.views import api, pages

app_name = "impact"
staff = admin.site.admin_view

urlpatterns = [
    path("api/v1/impact/<slug:kind>/<int:id>/", api.impact, name="api"),
    # These URLs must precede the pages of problems, because "lists" would match their `kind`.
    path("admin/impact/lists/<int:pk>/", staff(pages.win_back_list), name="list"),
    path("admin/impact/lists/<int:pk>/csv/", staff(pages.list_csv), name="list-csv"),
    path("admin/impact/person/", staff(pages.person), name="person"),
    path("admin/impact/retention/", staff(pages.retention), name="retention"),
    path("admin/impact/erase/", staff(pages.erase), name="erase"),
    path("admin/impact/<slug:kind>/<int:id>/", staff(pages.orders), name="orders"),
    path("admin/impact/<slug:kind>/<int:id>/csv/", staff(pages.orders_csv), name="orders-csv"),
    path("admin/impact/<slug:kind>/<int:id>/list/", staff(pages.write_list), name="write-list"),
]
