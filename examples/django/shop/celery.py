"""The Celery app: `celery -A shop worker`, `celery -A shop beat`. Web processes do not import it."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Finds vwo_celery's tasks, since "vwo_celery.django" is in INSTALLED_APPS, and sets the app up.
app.autodiscover_tasks()
