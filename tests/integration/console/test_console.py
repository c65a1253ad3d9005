"""The console's core: who may come in, what is found, and what each answer carries."""

from __future__ import annotations

import msgspec
import pytest

from tools.queue_states import HOLDS_SOMETHING, Queues
from tools.visiting import Browser, header

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING)


def test_an_action_of_a_form_and_of_a_program_are_one(queues: Queues) -> None:
    """A form's action and the API's do the same change, and both are in the audit."""
    queue, browser = queues.add(), Browser(queues.settings)

    by_form = browser.submit("do/pause", queues=queue.name, reason="lunch")
    by_program = browser.post("api/v1/resume", {"queues": [queue.name]})

    assert by_form.status == 200
    assert msgspec.json.decode(by_program.body) == {"resumed": [queue.name]}


def test_nobody_comes_in_unless_somebody_lets_them(queues: Queues) -> None:
    """A visitor without a role gets 403, and every answer carries the policy."""
    answer = Browser(queues.settings, None).get("")

    assert answer.status == 403
    assert "default-src 'none'" in str(header(answer, "Content-Security-Policy"))
