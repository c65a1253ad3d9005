"""attach: the objects it accepts, and its error for every other object."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vwo_celery
from vwo_celery.errors import SdkError


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (None, "None was given: the SDK returned no client"),
        ("client", "builtins.str was given"),
        (pytest, "builtins.module was given"),
        ({"sdk_key": "k"}, "builtins.dict was given"),
    ],
)
def test_an_unrecognised_object_is_refused_with_what_was_given_and_what_is_taken(given, named):
    """The error names the kind of the given object and the calls that create an accepted one."""
    with pytest.raises(SdkError) as caught:
        vwo_celery.attach(given)

    assert named in str(caught.value)
    for accepted in ("vwo.init", "wingify.init", "vwo.launch"):
        assert accepted in str(caught.value)


def test_a_look_alike_of_another_package_is_refused():
    """An object of another package is refused, even if its attributes are named like the SDK's."""

    class Client:
        batch_event_queue = None
        event_dispatcher = None

    with pytest.raises(SdkError, match="Client was given"):
        vwo_celery.attach(Client())


def test_queue_of_a_client_that_is_not_attached_says_so():
    """The error names the remedy, also for objects that allow no weak reference."""
    for thing in (object, "text"):
        with pytest.raises(SdkError, match=r"vwo_celery\.attach\(client\)"):
            vwo_celery.queue_of(thing)


def test_importing_the_adapters_imports_no_sdk():
    """Importing the adapters imports no SDK: applications without an SDK can import the package."""
    code = (
        "import sys, vwo_celery, vwo_celery.sdk; "
        "print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'vwo', 'wingify', 'celery', 'kombu', 'requests'}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
