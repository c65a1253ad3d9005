"""The permissions of the console; they belong to a model without a table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]
    """Makes no table: post_migrate makes the permissions that the model's options name."""

    initial = True
    dependencies: ClassVar[list[Any]] = []
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="EventQueue",
            fields=[
                (
                    "name",
                    models.CharField(max_length=255, primary_key=True, serialize=False),
                ),
            ],
            options={
                "verbose_name": "event queue",
                "verbose_name_plural": "event queues",
                "permissions": (
                    ("view_eventqueue", "Can see the event queues"),
                    ("peek_eventqueue", "Can read the events in the queues"),
                    ("operate_eventqueue", "Can flush, pause, resume and redrive the event queues"),
                    ("purge_eventqueue", "Can delete events from the queues"),
                ),
                "managed": False,
                "default_permissions": (),
                "base_manager_name": "objects",
            },
        ),
    ]
