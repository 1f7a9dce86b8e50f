import os

from django.core.wsgi import get_wsgi_application

from opsportal.lib import background

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")

application = get_wsgi_application()
background.start()
