"""The web application: `gunicorn shop.wsgi --workers 3 --threads 4 --preload`."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
# The admin's files; in production your web server has them, or WhiteNoise.
application = StaticFilesHandler(get_wsgi_application())

from shop.experiments import client  # noqa: E402  (Django must be set up first)

# With --preload this runs once, in gunicorn's master: the workers are forked with a ready client.
# The shared queue may cross a fork; the SDK's own batching may not, its timer threads stay behind.
client()
