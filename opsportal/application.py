"""The whole WSGI application, every view of it imported; nothing runs yet, so that a process that forks may import it."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")

django_application = get_wsgi_application()

from errors.views import ingest  # noqa: E402  (its models need Django set up)
from opsportal import fast_lane  # noqa: E402

# Before the first request, not in it: the server takes calls only when this is loaded, and then many at once.
get_resolver().url_patterns  # noqa: B018  (imports every view)

application = ingest.in_front_of(fast_lane.in_front_of(django_application))
