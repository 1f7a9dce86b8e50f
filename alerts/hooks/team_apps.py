"""Limit users to the apps of their teams."""

from collections.abc import Iterable

from django.contrib.auth.models import User

from alerts.models import Team
from core.lib.app_access import team_app_source


@team_app_source("alerts.teams")
def apps_of_teams(user: User) -> Iterable[int]:
    limits = Team.apps.through.objects.filter(team__people__user=user)
    return limits.values_list("clientapp", flat=True).distinct()
