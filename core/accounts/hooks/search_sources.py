"""Let the portal's search find users who may sign in."""

from collections.abc import Iterator

from django.contrib.auth.models import User
from django.db.models import Q
from django.urls import reverse

from core.lib.search_sources import Hit, Search, search_source


@search_source(
    "access.users", title="Users", permission="auth.view_user", order=700, respects_apps=True
)
def find_users(search: Search) -> Iterator[Hit]:
    condition = Q()
    for word in search.text.split():
        condition &= (
            Q(username__icontains=word)
            | Q(first_name__icontains=word)
            | Q(last_name__icontains=word)
            | Q(email__icontains=word)
        )
    for user in User.objects.filter(condition).order_by("username").iterator():
        url = reverse("admin:auth_user_change", args=[user.pk])
        name = user.get_full_name()
        is_exact = search.text.casefold() in (user.username.casefold(), user.email.casefold())
        yield Hit(name or user.username, url, user.username if name else "", is_exact=is_exact)
