"""The console in a Django project, an app of its own: "vwo_celery.django.console" in INSTALLED_APPS.

Beside an event's way; nothing to lose. Its pages are those of `vwo_celery.console`, which is loaded when
somebody opens one. Files, in reading order: `apps` (the app), `models` (permissions), `migrations`,
`checks` (what keeps everybody out, or lets anybody in), `admin` (found by Django's admin), `pages` (the
console in the admin), `views` (outside of it), `door` (Django's requests and the console's), `access`
(permissions are rights), `history` (changes in the admin's own history).
"""
