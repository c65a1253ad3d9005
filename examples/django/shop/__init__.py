"""A shop with one button, to show vwo_celery in Django. Importing it does not import Celery."""
