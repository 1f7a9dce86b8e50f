from django.contrib import admin
from django.urls import path

from logs import views

app_name = "logs"

staff = admin.site.admin_view
urlpatterns = [
    path("admin/logs/", staff(views.log_list), name="log-list"),
    path("admin/logs/complete/", staff(views.complete), name="log-complete"),
]
