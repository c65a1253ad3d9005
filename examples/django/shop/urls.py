"""What the shop answers to."""

from django.contrib import admin
from django.urls import path

from shop.views import buy, checkout

urlpatterns = [
    path("admin/", admin.site.urls),
    path("checkout/<str:visitor>", checkout),
    path("buy/<str:visitor>", buy),
]
