"""Test the endpoints that sentry-cli calls for releases, commits and deploys."""

from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone

from core.clients import services as clients
from core.clients.models import ClientApp, Scope
from core.releases.models import Commit, Deploy, Release
from errors.urls import cli_urls
from tests.errors.source_maps.built import Cli
from tests.factories import make_app

pytestmark = pytest.mark.django_db
COMMIT = {
    "id": "a" * 40,
    "repository": "acme/shop",
    "author_name": "Ann Lee",
    "author_email": "ann@example.org",
    "timestamp": "2026-11-20T12:00:00+01:00",
    "message": "cart: read the price\n\nReported by bob@example.org",
    "patch_set": [{"path": "src/cart.js", "type": "M"}, {"path": "README.md", "type": "A"}],
}


@pytest.fixture
def cli(shop: ClientApp) -> Cli:
    return Cli(shop)


def send(cli: Cli, method: str, path: str, body: Any = None) -> Any:
    call = getattr(cli.client, method)
    return (
        call(cli.url(path), body, "application/json") if body is not None else call(cli.url(path))
    )


def test_a_release_is_created_once(cli: Cli) -> None:
    first = send(cli, "post", "releases/", {"version": "shop@1.0", "projects": ["shop"]})
    again = send(cli, "post", "releases/", {"version": "shop@1.0", "projects": [str(cli.app.pk)]})

    assert (first.status_code, again.status_code) == (201, 208)
    assert Release.objects.get().app == cli.app
    assert first.json()["projects"][0]["slug"] == "shop"


def test_a_release_is_finalized(cli: Cli) -> None:
    body = {"projects": [], "dateReleased": "2026-11-20T12:00:00Z", "url": "https://ci.example/1"}

    answer = send(cli, "put", "releases/shop@1.0/", body)

    assert answer.status_code == 200
    release = Release.objects.get()
    assert release.released_at is not None
    assert release.released_at.isoformat() == "2026-11-20T12:00:00+00:00"
    assert release.url == "https://ci.example/1"
    send(cli, "put", "releases/shop@1.0/", {})
    release.refresh_from_db()
    assert release.released_at is not None


def test_commits_are_kept_without_e_mail_addresses(cli: Cli) -> None:
    older = {**COMMIT, "id": "b" * 40, "message": "older", "patch_set": []}

    answer = send(cli, "put", "releases/1.0/", {"commits": [COMMIT, older, COMMIT]})

    assert answer.json()["lastCommit"]["id"] == "a" * 40
    newest, other = Commit.objects.order_by("position")
    assert (newest.author, newest.repository) == ("Ann Lee", "acme/shop")
    assert newest.message == "cart: read the price\n\nReported by [Filtered]"
    assert sorted(file.path for file in newest.files.all()) == ["README.md", "src/cart.js"]
    assert other.sha == "b" * 40
    assert [one["id"] for one in send(cli, "get", "releases/1.0/commits/").json()] == [
        "a" * 40,
        "b" * 40,
    ]


def test_commits_are_replaced_and_cleared(cli: Cli) -> None:
    send(cli, "put", "releases/1.0/", {"commits": [COMMIT]})
    send(cli, "put", "releases/1.0/", {"commits": [{**COMMIT, "id": "c" * 40}]})
    assert [commit.sha for commit in Commit.objects.all()] == ["c" * 40]

    send(cli, "put", "releases/1.0/", {"refs": []})
    assert not Commit.objects.exists()


def test_the_previous_release_with_commits_is_found(cli: Cli) -> None:
    assert send(cli, "get", "releases/2.0/previous-with-commits/").json() == {}
    send(cli, "put", "releases/1.0/", {"commits": [COMMIT]})
    send(cli, "post", "releases/", {"version": "2.0", "projects": ["shop"]})

    answer = send(cli, "get", "releases/2.0/previous-with-commits/").json()

    assert (answer["version"], answer["lastCommit"]["id"]) == ("1.0", "a" * 40)


def test_deploys_are_recorded_and_listed(cli: Cli) -> None:
    body = {"environment": "production", "name": "blue", "dateFinished": "2026-11-20T12:00:00Z"}

    answer = send(cli, "post", "releases/1.0/deploys/", body)

    assert answer.status_code == 201
    assert Deploy.objects.get().source == Deploy.Source.CLI
    [listed] = send(cli, "get", "releases/1.0/deploys/").json()
    assert (listed["environment"], listed["name"]) == ("production", "blue")


def test_a_release_is_deleted(cli: Cli) -> None:
    send(cli, "put", "releases/1.0/", {"commits": [COMMIT]})

    assert send(cli, "delete", "releases/1.0/").status_code == 204
    assert send(cli, "delete", "releases/1.0/").status_code == 404
    assert not Commit.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "releases/", {}),
        ("post", "releases/", {"version": "a/b"}),
        ("post", "releases/", {"version": "1.0", "projects": ["blog"]}),
        ("post", "releases/", {"version": 7}),
        ("post", "releases/", {"version": "x" * 250}),
        ("post", "releases/", []),
        ("put", "releases/1.0/", {"dateReleased": "yesterday"}),
        ("put", "releases/1.0/", {"commits": {}}),
        ("put", "releases/1.0/", {"commits": [7]}),
        ("put", "releases/1.0/", {"commits": [{}]}),
        ("put", "releases/1.0/", {"commits": [{"id": "x" * 65}]}),
        ("put", "releases/1.0/", {"url": "x\0"}),
        ("post", "releases/1.0/deploys/", {}),
        ("post", "releases/1.0/deploys/", {"environment": ["a"]}),
    ],
)
def test_invalid_input_gets_a_400_with_the_reason(
    cli: Cli, method: str, path: str, body: Any
) -> None:
    answer = send(cli, method, path, body)

    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_a_key_sees_only_the_releases_of_its_app(cli: Cli) -> None:
    other = Cli(make_app("blog"))
    send(other, "put", "releases/9.0/", {})

    assert send(cli, "get", "releases/").json() == []
    assert send(cli, "get", "releases/9.0/").status_code == 404
    assert cli.client.get("/api/0/projects/acme/blog/releases/").status_code == 400


def addresses() -> list[str]:
    arguments = {"organization": "acme", "project": "shop", "version": "1.0"}
    found = []
    for pattern in cli_urls:
        assert isinstance(pattern, URLPattern)
        names = pattern.pattern.converters
        found.append(
            reverse(f"errors:{pattern.name}", kwargs={name: arguments[name] for name in names})
        )
    return found


@pytest.mark.parametrize("url", addresses())
def test_every_address_needs_a_key_with_the_scope_releases(shop: ClientApp, url: str) -> None:
    others = [scope for scope in Scope.values if scope != Scope.RELEASES]
    _, wrong = clients.issue_api_key(app=shop, scopes=others)
    key, right = clients.issue_api_key(app=shop, scopes=[Scope.RELEASES])
    public = clients.issue_dsn_key(app=shop).public_key

    def status(secret: str) -> int:
        client = Client(headers={"Authorization": f"Bearer {secret}"} if secret else {})
        answer = client.post(url, {}, "application/json")
        return answer.status_code if answer.status_code != 405 else client.get(url).status_code

    assert status("") == 401
    assert status(wrong) == status(public) == status("ops_unknown") == 403
    assert status(right) not in (401, 403)
    clients.revoke(key, now=timezone.now())
    assert status(right) == 403
