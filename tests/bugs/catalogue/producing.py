"""Bugs in `producing/`."""

from __future__ import annotations

from bugs.bug import Bug

_SENTINEL = "integration/connections/test_sentinel.py"
_SHADOWING = "integration/producing/test_shadowing.py"
_SHARED = "integration/connections/test_shared_clients.py"

BUGS = (
    Bug(
        "event loops in several threads share nothing but the producer",
        "they share what waits", "producing/aio.py",
        "        key = (os.getpid(), asyncio.get_running_loop())\n        found",
        "        key: Any = os.getpid()\n        found",
        "integration/producing/test_aio_loops.py -k loops_of_their_own",
    ),
    Bug(
        "a push whose task was cancelled is stored once",
        "it is stored again", "producing/gathering.py",
        "        self._go_on = partial(self._push_again, push)\n", "",
        "integration/producing/test_aio_loops.py -k 'whoever and sends'",
    ),
    Bug(
        "whoever cancels the task that sends leaves no await without an answer",
        "what it has not stored is forgotten", "producing/gathering.py",
        "        if left:\n", "        if False:\n",
        "integration/producing/test_aio_loops.py -k 'whoever and sends'",
    ),
    Bug(
        "nobody waits while workers are woken for a batch",
        "its events wait", "producing/gathering.py",
        "            if push.replicas is None:\n", "            if False:\n",
        "integration/producing/test_aio.py -k woken",
    ),
    Bug(
        "nothing but QueueFull leaves enqueue",
        "what a wake-up raises does", "producing/producer.py",
        '            except Exception as exc:\n                log_surprise(exc, "its events are in',
        '            except OSError as exc:\n                log_surprise(exc, "its events are in',
        "integration/producing/test_no_exception.py -k notice",
    ),
    Bug(
        "no exception of a Redis client leaves enqueue",
        "one that redis-py does not document does", "producing/producer.py",
        "        except Exception as again:\n", "        except ConnectionError as again:\n",
        "integration/producing/test_producer_failures.py -k no_client_documents",
    ),
    Bug(
        "a push that could not be sent hides no loss",
        "its mark is given up", "producing/producer.py",
        "if not is_without_master(exc) or push.mark.in_doubt:", "if True:",
        f"{_SENTINEL} -k hides_no_loss",
    ),
    Bug(
        "an upload leaves in as few requests as VWO takes",
        "its pages go to any shards", "producing/producer.py",
        "        lot = place.lot if self.batch.is_least else None\n", "        lot = None\n",
        "integration/relay/test_relay_phones.py -k python_chunks",
    ),
    Bug(
        "a call that is not sampled is what it was without tracing",
        "it goes the long way", "producing/producer.py",
        "        if is_sampled():\n            return", "        if True:\n            return",
        "integration/tracing/test_traces_beside.py -k are_not_sampled",
    ),
    Bug(
        "type checkers find a misspelled setting",
        "connect takes any keyword argument", "producing/queue.py",
        "    **arguments: Unpack[SettingsArguments],\n", "    **arguments: Any,\n",
        "typed/test_typing.py -k mypy",
    ),
    Bug(
        "the queues of a process share one client",
        "each opens its own", "producing/registrant.py",
        "import shared_client, twin_of\n", "import open_client as shared_client, twin_of\n",
        f"{_SHARED} -k process_share_a_connection",
    ),
    Bug(
        "what a shadow tells is of one moment",
        "an event between the SDK's list and its request is missed", "producing/shadowing.py",
        "            if missing == counts.missing:\n", "            if True:\n",
        f"{_SHADOWING} -k on_its_way",
    ),
    Bug(
        "a shadow tells apart what a forked process inherited",
        "its first counts know nothing of it", "producing/shadowing.py",
        "PerProcess(lambda: _Counts(self._held()))", "PerProcess(_Counts)",
        f"{_SHADOWING} -k forked_child",
    ),
    Bug(
        "whoever is told of a call changes nothing of it",
        "its exception reaches the request", "producing/watching.py",
        "        except Exception as exc:\n", "        except OSError as exc:\n",
        "integration/metrics/test_instrument.py -k reaches_no_request",
    ),
    Bug(
        "a fault in a shadow reaches no application",
        "what cannot be counted raises", "sdk/shadow.py",
        "                self._shadower.note(\"unsendable\", one)\n        except Exception as exc:\n",
        "                self._shadower.note(\"unsendable\", one)\n        except OSError as exc:\n",
        f"{_SHADOWING} -k reaches_nobody",
    ),
)  # fmt: skip
