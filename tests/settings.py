"""Define the portal's settings for tests, with a separate data folder, no external services, and fast hashes.

DATABASE_URL and REDIS_URL are kept, because `make test` sets them to run the same tests on PostgreSQL and Redis.
Processes that tests start use `opsportal.settings` with the environment that the fixtures pass to them.
"""

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

# tests/conftest.py removes this folder when pytest ends.
TEST_DIR = Path(tempfile.mkdtemp(prefix="opsportal-test-"))
# Without the folder, whitenoise warns, and warnings are errors in tests.
(TEST_DIR / "static").mkdir()
# The workers of xdist share one Redis server, in which each worker uses its own databases.
WORKER_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

# A developer's own settings must not reach the tests.
for name in (
    "SENTRY_DSN",
    "BETTER_STACK_TOKEN",
    "RESEND_API_KEY",
    "SLACK_WEBHOOK_URL",
    "EMAIL_HOST",
    "STRIPE_SECRET_KEY",
    "ALLOWED_HOSTS",
    "BASE_URL",
    "DEBUG",
):
    os.environ.pop(name, None)
os.environ["DATA_DIR"] = str(TEST_DIR)
os.environ["SECRET_KEY"] = "tests-only-tests-only-tests-only-tests-only-tests-only"
# live_server does not collect static files, so pages would request hashed names that do not exist.
os.environ["STATICFILES_STORAGE"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
# Playwright's synchronous API runs an event loop in the test's thread, where Django would refuse queries.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
if os.environ.get("REDIS_URL"):
    redis_server = urlsplit(os.environ["REDIS_URL"])
    os.environ["REDIS_URL"] = redis_server._replace(path=f"/{2 * WORKER_NUMBER}").geturl()

from opsportal.settings import *  # noqa: E402, F403

if IS_SQLITE:  # noqa: F405
    # Do not wait for the disk at each commit, because the waits would take most of a run's time and no test cuts the
    # power.
    options = DATABASES["default"]["OPTIONS"]  # noqa: F405
    options["init_command"] = options["init_command"].replace("FULL", "OFF")

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Self-monitoring writes in the background, so only its own tests enable it.
SELF_MONITORING = False
