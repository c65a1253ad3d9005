"""An old release of the legacy SDK that lacks a part: `make sdk-matrix` runs this on real ones."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest
import vwo

import vwo_celery
from vwo_celery.errors import SdkError


def test_the_release_is_refused_and_the_client_stays_as_it_was(settings, redis_url, redis):
    """The error names the release, what it lacks, and releases that can be attached."""
    client = vwo.launch(json.dumps(settings), is_development_mode=True)
    before = [dict(vars(client)), dict(vars(client.event_dispatcher))]

    with pytest.raises(SdkError) as caught:
        vwo_celery.attach(client, redis_url=redis_url)

    print(caught.value)
    assert str(caught.value).startswith(f"vwo-python-sdk {version('vwo-python-sdk')} cannot be put")
    assert 'pip install "vwo-python-sdk>=1.60.0,<=' in str(caught.value)
    assert [dict(vars(client)), dict(vars(client.event_dispatcher))] == before
    assert redis.dbsize() == 0
