"""The model that gives the console its place in Django: permissions, an entry in the admin, a history.

It has no table; the queues themselves are in Redis. Nothing to lose.
"""

from __future__ import annotations

from typing import Any

from django.db import models


class NoRows(models.Manager):  # type: ignore[misc]
    """Finds nothing, without asking the database: `dumpdata` and the like ask every model."""

    def get_queryset(self) -> Any:
        """Return an empty query set."""
        return super().get_queryset().none()


class EventQueue(models.Model):  # type: ignore[misc]
    """A queue, as permissions and the admin's history name it; its primary key is the queue's name."""

    name = models.CharField(max_length=255, primary_key=True)
    objects = NoRows()

    class Meta:
        """Managed by nobody: the migration makes the permissions, and no table."""

        managed = False
        base_manager_name = "objects"
        verbose_name = "event queue"
        verbose_name_plural = "event queues"
        default_permissions = ()
        permissions = (
            ("view_eventqueue", "Can see the event queues"),
            ("peek_eventqueue", "Can read the events in the queues"),
            ("operate_eventqueue", "Can flush, pause, resume and redrive the event queues"),
            ("purge_eventqueue", "Can delete events from the queues"),
        )

    def __str__(self) -> str:
        return str(self.name)
