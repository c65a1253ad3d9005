"""The ways in, `wsgi` and `asgi`: each makes requests of what a server hands over, and sends responses.

Django's is in `vwo_celery.django`. A door decides nothing. Nothing to lose.
"""
