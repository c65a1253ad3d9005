"""The shop's only table."""

from django.db import models


class Order(models.Model):
    """Something that a visitor bought."""

    visitor = models.CharField(max_length=64)
    price = models.DecimalField(max_digits=8, decimal_places=2)
