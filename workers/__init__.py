"""Fronts for those who deploy a checkout: the Celery app and the health check of the package."""
