"""The URLs of the project in `django_project`: the admin, and the console outside of it."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("ops/vwo/", include("vwo_celery.django.urls")),
]
