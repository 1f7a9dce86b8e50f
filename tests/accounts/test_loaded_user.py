"""Test that `loaded_user` returns the user of a request only if a view has loaded the user already."""

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries

from core.accounts.middleware import UserMiddleware, loaded_user


@pytest.fixture
def request_of_owner(client: Client) -> HttpRequest:
    client.force_login(User.objects.create_user("owner", is_staff=True))
    request = RequestFactory().get("/")
    request.session = SessionStore(client.session.session_key)
    UserMiddleware(lambda _: None).process_request(request)  # type: ignore[arg-type]
    return request


@pytest.mark.django_db
def test_no_user_is_loaded_until_a_view_uses_it(
    request_of_owner: HttpRequest, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert loaded_user(request_of_owner) is None

    assert request_of_owner.user.username == "owner"
    with django_assert_num_queries(0):
        assert loaded_user(request_of_owner) == request_of_owner.user


def test_a_request_without_the_middleware_has_no_loaded_user() -> None:
    assert loaded_user(RequestFactory().get("/")) is None
