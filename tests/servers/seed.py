"""Prepare the database of a test portal and print its credentials as one line of JSON.

Run `python -m tests.servers.seed` with the portal's environment. The program creates an app
with a DSN and an API key that has every scope, and an owner with a session.
"""

import json
import os

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    django.setup()

    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command

    from core.clients.models import ApiKey, ClientApp, ClientKey, Scope

    call_command("prepare")
    app = ClientApp.objects.create(name="Shop", slug="shop", platform="python")
    key = ClientKey.objects.create(app=app)
    _, secret = ApiKey.issue(app=app, scopes=list(Scope.values))
    staff = User.objects.create_superuser("owner", "owner@shop.example", "correct-horse-battery")
    session = SessionStore()
    session[SESSION_KEY] = str(staff.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = staff.get_session_auth_hash()
    session.create()
    print(
        json.dumps(
            {
                "app_id": app.pk,
                "public_key": key.public_key,
                "api_key": secret,
                "session": session.session_key,
            }
        )
    )


if __name__ == "__main__":
    main()
