from django.urls import path

from core.releases.views import api

app_name = "releases"

urlpatterns = [path("api/v1/deploys/", api.deploys, name="deploy-record")]
