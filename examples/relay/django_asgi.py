"""A Django application with the relay beneath /vwo: `uvicorn django_asgi:application`.

The last line is all that an asgi.py needs; the rest makes this file a project. SDKs drop the path of a
proxy's URL, so the proxy in front of this application must add /vwo to their requests.
"""

import os

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.urls import path

from vwo_celery.relay import beside, relay_app

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="no-secret-of-an-example",
    ALLOWED_HOSTS=["127.0.0.1"],
    # VWO_CELERY_REDIS_URL says where Redis is, VWO_CELERY_RELAY_ACCOUNTS whose events are taken; any
    # setting may stand here instead.
    VWO_CELERY={},
)
django.setup()


def home(_request):
    """Answer a visitor of the application itself."""
    return JsonResponse({"process": os.getpid()})


urlpatterns = [path("", home)]

application = beside(get_asgi_application(), relay_app(prefix="/vwo"))
