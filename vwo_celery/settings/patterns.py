"""The forms that text in settings has, as patterns of `re`. Nothing to lose."""

from __future__ import annotations

import re

from vwo_celery.settings.redis_url import SCHEMES

REDIS_URL = rf"^({'|'.join(map(re.escape, SCHEMES))})://"
HOST = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?\Z"
ADDRESS = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}\Z"
ACCOUNT_AND_KEY = r"^[0-9]{1,18}=[!-~]+\Z"
ORIGIN = r"^(\*|https?://[A-Za-z0-9.:\[\]_-]+)\Z"
MODULE = r"^[^\W\d]\w*(\.[^\W\d]\w*)*\Z"
