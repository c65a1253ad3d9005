"""What is deployed: `celery -A workers.app worker`, `celery -A workers.app beat`, the health check."""
