"""A value per process: made at the first request, never shared over a fork."""

from __future__ import annotations

import gc
import json
import os
import threading
import traceback
import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from vwo_celery.forks import PerProcess

THREADS = 8


class Thing:
    """A value that each process has for itself."""


def in_child(work: Callable[[], Any]) -> Any:
    """The JSON result of *work* in a forked child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(told)


def test_it_is_made_once_when_first_asked_for() -> None:
    """Nothing is made before the first `get`; each later one returns the same."""
    numbers = count()
    value = PerProcess(lambda: next(numbers))
    assert next(numbers) == 0

    assert [value.get(), value.get()] == [1, 1]


def test_a_forked_child_makes_its_own() -> None:
    """A forked child makes its own value; the parent's stays unchanged."""
    value = PerProcess(os.getpid)
    value.get()

    child, again, process = in_child(lambda: (value.get(), value.get(), os.getpid()))

    assert child == again == process
    assert value.get() == os.getpid() != child


def test_a_child_of_a_child_makes_its_own() -> None:
    """A grandchild makes its own value, whether or not the process between has made one."""
    value = PerProcess(os.getpid)
    mine = value.get()

    def of_grandchild() -> Any:
        return in_child(lambda: (value.get(), os.getpid()))

    silent_between = in_child(of_grandchild)
    between, (found, process) = in_child(lambda: (value.get(), of_grandchild()))

    assert silent_between[0] == silent_between[1]
    assert found == process
    assert len({mine, between, found}) == 3


def test_the_parents_value_is_dropped_in_the_child() -> None:
    """The parent's value is kept in a child until the child makes its own; then nothing refers to it."""
    value = PerProcess(Thing)
    inherited = weakref.ref(value.get())

    def child() -> tuple[bool, bool]:
        before = inherited() is not None
        value.get()
        gc.collect()
        return before, inherited() is None

    assert in_child(child) == [True, True]
    assert inherited() is value.get()


def test_threads_that_race_get_the_same_value() -> None:
    """Racing threads get the same value, even if each of them makes one; unused ones are dropped."""
    together = threading.Barrier(THREADS)
    made: weakref.WeakSet[Thing] = weakref.WeakSet()
    found: list[Thing] = []

    def make() -> Thing:
        thing = Thing()
        made.add(thing)
        together.wait(10)
        return thing

    value = PerProcess(make)
    threads = [threading.Thread(target=lambda: found.append(value.get())) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    gc.collect()
    assert len(found) == THREADS
    assert {id(thing) for thing in found} == {id(value.get())}
    assert len(made) == 1


def test_a_value_that_cannot_be_made_is_tried_again() -> None:
    """An error of `make` reaches the caller, and nothing is kept: the next `get` tries again."""
    answers = iter([ConnectionError("away"), "there"])

    def make() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    value = PerProcess(make)

    with pytest.raises(ConnectionError):
        value.get()
    assert value.get() == "there"


def test_a_value_is_set_for_this_process_alone() -> None:
    """A child does not inherit a value that its parent has set, nor a parent its child's."""
    value = PerProcess(bool)
    value.set(True)

    def child() -> list[bool]:
        before = value.get()
        value.set(True)
        return [before, value.get()]

    assert in_child(child) == [False, True]
    assert value.get() is True


def test_a_value_is_taken_out_by_its_own_process() -> None:
    """`pop` returns the process' own value once, never a parent's; the next `get` makes another."""
    value = PerProcess(Thing)
    first = value.get()

    assert in_child(lambda: value.pop() is None)
    assert value.pop() is first
    assert value.pop() is None
    assert value.get() is not first
