"""vwo_celery in a Django project: settings from VWO_CELERY, events that wait for the commit.

"vwo_celery.django" in INSTALLED_APPS (`apps`) brings the system checks (`checks`), the operator's
command as `manage.py vwo_celery`, and the tasks to `app.autodiscover_tasks()`; `commit` enqueues when
a transaction is committed. The operator's console is an app of its own, `console`; `admin` gives it to
further admin sites, `urls` to places outside of them. Celery is imported only with the module `tasks`,
which Celery's own processes ask for and web processes do not.
"""

from __future__ import annotations

from vwo_celery.django.commit import enqueue_on_commit

__all__ = ["enqueue_on_commit"]
