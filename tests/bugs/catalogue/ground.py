"""Bugs in what all stand on: `sending/`, `settings/`, `events/`, `testing/` and modules at the root."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a wait ends though a test freezes time",
        "it is measured by the clock that is frozen", "clocks.py",
        "return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)",
        "return time.monotonic()",
        "unit/test_clocks.py -k clocks_run",
    ),
    Bug(
        "a destination that no worker could read is refused where it enters",
        "any type is kept", "destinations/destination.py",
        "self._keep(name, read(name, getattr(self, name)))", "self._keep(name, getattr(self, name))",
        "unit/test_destinations.py -k refused_by_name",
    ),
    Bug(
        "a request says what the SDK said of itself: absent is not empty, and no other SDK's name",
        "an SDK that names nothing is sent as the newest", "destinations/destination.py",
        "        if self.query is not None:\n            return self.query\n",
        "        if self.query:\n            return self.query\n",
        "unit/test_destination_queries.py -k says_what_the_sdk_said",
    ),
    Bug(
        "what an application puts into one event reaches into no other, also where many are encoded",
        "events that are encoded together are not counted", "events/encoding.py",
        "        if len(values) != len(events):\n", "        if not values:\n",
        "unit/test_encoding_many.py -k have_the_fate",
    ),
    Bug(
        "no key stands in a stored target", "it stays where the SDK wrote it",
        "events/envelopes.py", '"target": _marked(target, sdk_key)', '"target": target',
        "unit/test_envelopes.py -k as_it_went_in",
    ),
    Bug(
        "usage statistics go to VWO's account, also with a key",
        "they need the account of their queue", "events/envelopes.py",
        "is_own = keys and names != {USAGE_STATISTICS}", "is_own = keys",
        "unit/test_envelopes.py -k as_it_went_in",
    ),
    Bug(
        "subclasses of bytes are Base64",
        "they are arrays of numbers", "events/values.py",
        "    (bytes, lambda value: memoryview(value).tobytes()),\n", "",
        "unit/test_values_reference.py -k 'bytes_'",
    ),
    Bug(
        "times of pandas, pendulum and freezegun are written",
        "they are dropped", "events/values.py",
        "    (dt.datetime, _datetime),\n", "",
        "unit/test_values_reference.py -k 'Timestamp or pendulum or Fake'",
    ),
    Bug(
        "what is dropped is named by its place in the event",
        "the path is empty", "events/writing.py",
        "                self.path.append(_step(name))\n", '                self.path.append("")\n',
        "unit/test_events.py -k tells_nothing",
    ),
    Bug(
        "no name forges a line of a log",
        "a log line shows values as they are", "logs.py",
        "    _logger.addFilter(_OneLine())\n", "    pass\n",
        "unit/test_lines.py -k forges_a_line",
    ),
    Bug(
        "no log shows the key of an SDK that asks VWO",
        "the query is part of the URL", "sending/fetching.py",
        'f"{wanted.origin}{wanted.path}", headers',
        'f"{wanted.origin}{wanted.path}?{wanted.query}", headers',
        "integration/sending/test_fetching.py -k shows_the_key",
    ),
    Bug(
        "what VWO answers an SDK costs bounded memory",
        "a body is read to its end", "sending/fetching.py",
        "        if size > most_bytes:\n",
        "        if False:\n",
        "integration/sending/test_fetching.py -k not_whole",
    ),
    Bug(
        "no event waits for an SDK's report on itself",
        "reports wait in memory without a bound", "sending/forwarding.py",
        "return \"\" if has_room and len(self._waiting) < MOST_WAITING else FULL", "return \"\"",
        "integration/relay/test_relay_diagnostics.py -k 'no_event_waits or has_a_bound'",
    ),
    Bug(
        "a filter by answer goes by VWO's status",
        "by any status in the text", "sending/outcomes.py",
        "_ANSWERED.match(error)", "_ANSWERED.search(error)",
        "unit/test_outcomes.py -k stored_error",
    ),
    Bug(
        "VWO gets no Authorization with a single request, whose key is in its query",
        "it gets one", "sending/request_line.py",
        "            del headers[_KEY_HEADER]", "            pass",
        "integration/delivering/test_singles.py -k request_that_it_was",
    ),
    Bug(
        "tracers and error trackers do not record the SDK key",
        "the request that they see has it", "sending/sender.py",
        "        self._request.url = masked(str(self._request.url), destination.sdk_key)\n", "",
        "integration/sending/test_instrumentation.py -k recorded",
    ),
    Bug(
        "accounts at one host share its connections",
        "each sender has its own", "sending/sender.py",
        "                connections=self._connections,\n", "",
        "integration/sending/test_senders.py -k share_its_connection",
    ),
    Bug(
        "a single request leaves as it came", "its headers stay behind", "sending/sender.py",
        "found.headers | unsent(", "unsent(",
        "integration/delivering/test_singles.py -k request_that_it_was",
    ),
    Bug(
        "single requests are sent one by one", "the first of a batch stands for all",
        "sending/sender.py", "if len(encoded) != 1:", "if not encoded:",
        "integration/delivering/test_singles.py -k taken_apart",
    ),
    Bug(
        "a worker that meets a relay in VWO's name keeps its batch", "its answer counts as VWO's",
        "sending/sender.py", "if self._is_vwos and RELAY_HEADER in response.headers:", "if False:",
        "integration/relay/test_relay_tls.py -k keeps_its_batch",
    ),
    Bug(
        "whoever writes to Redis calls no function that an allowed module only imports",
        "a path may lead through what the module imported", "settings/callbacks.py",
        "if isinstance(found, ModuleType) or not (_is_of(found, allowed) or named_by_module):",
        "if False:",
        "unit/test_callbacks.py -k imported_is_refused",
    ),
    Bug(
        "a server with a certificate for another name gets no password, whatever redis-py",
        "the name is not checked", "settings/redis_url.py",
        '"ssl_check_hostname": required != "none"', '"ssl_check_hostname": False',
        "integration/connections/test_tls.py -k another_name",
    ),
    Bug(
        "Celery's broker is checked as the queues' Redis is",
        "TLS is left to kombu, which checks nothing", "settings/redis_url.py",
        "for name, value in self.tls_options.items()", "for name, value in ()",
        "integration/connections/test_tls.py -k broker_checks",
    ),
    Bug(
        "a URL with options of redis-py's lets workers start",
        "Celery gets them", "settings/redis_url.py",
        'return f"{self.scheme}://{prefix}{self.hosts}{path}{query}"',
        'return f"{self.scheme}://{prefix}{self.hosts}{path}?{self.query}"',
        "unit/test_redis_options.py -k one_url",
    ),
    Bug(
        "in a test, what an application awaits is captured, also on a queue that Redis knows",
        "asyncio goes its usual way", "testing/diversion.py",
        "        return False\n", "        return Registrant.is_registered.fget(self)\n",
        "integration/testing/test_capture.py -k redis_knows",
    ),
    Bug(
        "what a test takes over is given back with it",
        "the classes stay as they are in a test", "testing/diversion.py",
        "            if not _takers:\n                _restore()",
        "            if len(_takers) > 1:\n                _restore()",
        "integration/testing/test_capture.py -k as_before",
    ),
    Bug(
        "in a test, a delivery tries again what was released before",
        "delays go on, though nobody waits for them", "testing/inline.py",
        "while hasten(shard).batches:", "while False:",
        "integration/testing/test_inline.py -k one_attempt",
    ),
    Bug(
        "in a test, a batch is tried once in each delivery",
        "it is due when the delay ends that was drawn for it, from zero up", "testing/inline.py",
        "due_ms = self.worker.fleet.now_ms() + _NOT_YET_MS", "due_ms = self.worker.fleet.now_ms()",
        "integration/testing/test_inline.py -k one_attempt",
    ),
    Bug(
        "no test sends an event to VWO itself",
        "a batch goes to the host that the application chose", "testing/inline.py",
        "msgspec.structs.replace(producer.destination, base_url=self._collector.url)",
        "producer.destination",
        "integration/testing/test_inline.py -k reach_the_stand_in",
    ),
    Bug(
        "a truncated emoji pauses no queue",
        "the stand-in refuses it", "testing/standin/rules.py",
        "body = _SURROGATE.sub(", "body = request.body or _SURROGATE.sub(",
        "unit/test_standin_rules.py -k lone_surrogate",
    ),
    Bug(
        "a busy executor of the application delays no event",
        "the event waits for it", "threads.py",
        "    return await result_of(start_in_thread(call, *args, **kwargs))",
        "    return await asyncio.to_thread(call, *args, **kwargs)",
        "integration/producing/test_aio_loops.py -k 'busy and first'",
    ),
)  # fmt: skip
