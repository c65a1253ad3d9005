"""Settings of the example; what differs between machines comes from the environment."""

import os
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parents[1]
REDIS_URL = os.environ.get("SHOP_REDIS_URL", "redis://localhost:6379/0")

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "an example needs no secret")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
INSTALLED_APPS = [
    "shop",
    "vwo_celery.django",
    # The console in the admin, with what the admin needs.
    "vwo_celery.django.console",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", str(HERE / "shop.sqlite3")),
        # Seconds that a process waits while another one writes.
        "OPTIONS": {"timeout": 20},
    }
}

VWO_ACCOUNT_ID = int(os.environ.get("VWO_ACCOUNT_ID", "888888"))
VWO_SDK_KEY = os.environ.get("VWO_SDK_KEY", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
#: Empty: the SDK talks to VWO. Else to this server, such as vwo_celery's stand-in for VWO.
VWO_PROXY_URL = os.environ.get("VWO_PROXY_URL", "")
VWO_BATCH_EVENT_DATA = {
    "events_per_request": int(os.environ.get("SHOP_EVENTS_PER_REQUEST", "100")),
    "request_time_interval": int(os.environ.get("SHOP_REQUEST_TIME_INTERVAL", "10")),
}

# Celery's own setting; `manage.py vwo_celery doctor` needs it as well.
CELERY_BROKER_URL = os.environ.get("SHOP_BROKER_URL", REDIS_URL)
# The console hands bulk work to the workers through this app.
VWO_CELERY_APP = "shop"
VWO_CELERY = {
    "redis_url": REDIS_URL,
    "broker_url": CELERY_BROKER_URL,
    # Workers send to VWO's own hosts and to these.
    "allowed_hosts": [urlsplit(VWO_PROXY_URL).netloc] if VWO_PROXY_URL else [],
}
