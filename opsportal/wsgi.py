"""Provide Django as a WSGI application with every view imported.

`serve` runs the application behind `opsportal.server.rsgi`. Importing this module starts nothing, so a process that
will fork may import it.
"""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")

_django = get_wsgi_application()

from opsportal.server.api_lane import in_front_of  # noqa: E402  (needs Django set up)

get_resolver().url_patterns  # noqa: B018  (imports every view now rather than in the first request)

application = in_front_of(_django)
