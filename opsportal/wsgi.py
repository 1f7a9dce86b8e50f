import gc
import os

from django.core.wsgi import get_wsgi_application

from opsportal.lib import background

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")

django_application = get_wsgi_application()

from errors.views.lean import in_front_of  # noqa: E402  (its models need Django set up)

application = in_front_of(django_application)
background.start()

gc.collect()
gc.freeze()
gc.set_threshold(25_000, 20, 50)
