"""A project whose beat keeps its schedule in a database, with django-celery-beat.

As a program it makes the database.
"""

import os

import django
from celery import Celery
from django.conf import settings
from django.core.management import call_command

import vwo_celery

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django_celery_beat"],
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
)
django.setup()

app = Celery("project", broker=os.environ["VWO_CELERY_REDIS_URL"])
app.conf.beat_max_loop_interval = 1
vwo_celery.setup(app)

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
