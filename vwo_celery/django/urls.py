"""The console outside of the admin: `path("ops/vwo/", include("vwo_celery.django.urls"))`.

The same permissions decide as in the admin; one need not be staff. Nothing to lose.
"""

from __future__ import annotations

from django.urls import re_path

from vwo_celery.django.console.views import console_view

app_name = "vwo_celery"
urlpatterns = [re_path(r"^(?P<path>.*)\Z", console_view, name="console")]
