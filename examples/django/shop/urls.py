"""What the shop answers to."""

from django.urls import path

from shop.views import buy, checkout

urlpatterns = [
    path("checkout/<str:visitor>", checkout),
    path("buy/<str:visitor>", buy),
]
