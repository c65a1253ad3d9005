"""Bugs where operators and Celery come in: `celery/`, `cli/`, `django/`, `demo/`."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a change by Celery's remote control is recorded once",
        "each worker records it", "celery/control.py",
        "return {view.queue: chosen[view.queue] for view in views if wanted(view)}", "return chosen",
        "integration/adapters/test_control.py -k recorded_once",
    ),
    Bug(
        "a message of another namespace is passed on",
        "its namespace is not looked at", "celery/messages/misdirected.py",
        "return namespace is not None and ", "return False and ",
        "acceptance/test_projects.py -k namespaces",
    ),
    Bug(
        "a later release's queue is no sign that two fleets share a broker",
        "the doctor is told so", "celery/messages/misdirected.py",
        "    if isinstance(wrong, QueueUnreadable):", "    if False:",
        "integration/adapters/test_unreadable_tasks.py",
    ),
    Bug(
        "our messages pass in any app",
        "they are JSON where the app accepts none", "celery/options.py",
        "    for name in (_SERIALIZER, str(app.conf.task_serializer), *accepted):",
        "    for name in (_SERIALIZER,):",
        "integration/adapters/test_setup.py -k any_app",
    ),
    Bug(
        "a quiet fleet's log is quiet",
        "beat's sweeps are logged", "celery/quiet.py",
        "        return args.get(\"name\") == SWEEP\n", "        return False\n",
        "acceptance/test_worker_log.py",
    ),
    Bug(
        "a card holds no password",
        "its URLs are whole", "celery/worker/describing.py",
        "name: without_secrets(name, value)", "name: value",
        "integration/operating/test_workers.py -k no_password",
    ),
    Bug(
        "the app that a worker or beat starts is set up",
        "an app that gets the tasks is not noted", "celery/worker/task.py",
        "        note_tasks(app)\n", "",
        "integration/adapters/test_setup.py -k app_that_starts",
    ),
    Bug(
        "a project's time limit cuts no POST off",
        "what it sets for all tasks reaches ours", "celery/worker/task.py",
        "        for option in (*_OWN, *_STATED):\n", "        for option in ():\n",
        "integration/adapters/test_setup.py -k reach_ours",
    ),
    Bug(
        "our tasks run with the app that runs them",
        "they run with the thread's current app", "celery/worker/tasks.py",
        "    worker = worker_of(self.app)\n    wakeup = ",
        "    from celery import current_app\n\n"
        "    worker = worker_of(current_app._get_current_object())\n    wakeup = ",
        "acceptance/test_projects.py -k 'app_that and threads'",
    ),
    Bug(
        "the SDK key that was typed as an argument is not shown again",
        "the error quotes it", "cli/changes/move.py",
        '"--to-key: there is no such file. It takes', 'f"--to-key: no file {path}. It takes',
        "integration/adapters/test_cli_move.py -k wrong_usage",
    ),
    Bug(
        "status exits 1 where something is wrong", "0", "cli/looks/status.py",
        "    if wrong:\n", "    if False:\n",
        "integration/adapters/test_status.py -k exits_1",
    ),
    Bug(
        "one number is the same wherever it is told",
        "a command counts released events as ready", "cli/looks/status.py",
        'f"{view.ready:,}"', 'f"{view.ready + view.released:,}"',
        "integration/operating/test_one_number.py -k queue_holds",
    ),
    Bug(
        "no name or event steers an operator's terminal",
        "JSON is printed with the control characters that it allows", "cli/shared/documents.py",
        "click.echo(json_for_terminals(text))", "click.echo(text)",
        "integration/adapters/test_hostile_text.py -k harms_no_output",
    ),
    Bug(
        "a watch outlives a Redis that is away", "it ends", "cli/shared/watching.py",
        "return self._without_redis(exc)", "raise",
        "integration/adapters/test_status.py -k goes_on",
    ),
    Bug(
        "a `vwo-celery dev` that is killed leaves no program",
        "its worker and beat go on", "demo/workbench.py",
        "[*death_bound_launcher(), sys.executable,", "[sys.executable,",
        "acceptance/test_dev.py -k killed",
    ),
    Bug(
        "in Django, each right has a permission of its own",
        "who may see may do all", "django/console/access.py",
        "if user.has_perm(name))", "if user.has_perm(PERMISSIONS[Right.VIEW]))",
        "integration/adapters/django/console/test_permissions.py -k needs_its_permission",
    ),
    Bug(
        "a change through Django is in the admin's history",
        "nobody notes it", "django/console/door.py",
        ", changed=note", "",
        "integration/adapters/django/console/test_history.py -k made_and_recorded",
    ),
    Bug(
        "bulk work that is ordered in Django goes to the project's workers",
        "it goes to those of the ready app", "django/console/door.py",
        'getattr(django_settings, "VWO_CELERY_APP", "")', '""',
        "integration/adapters/django/console/test_changes.py -k projects_workers",
    ),
    Bug(
        "a page that is shown again holds nobody's token",
        "it holds the token of whoever saw it first", "django/console/door.py",
        '(("csrfmiddlewaretoken", _MARK),)', '(("csrfmiddlewaretoken", get_token(request)),)',
        "integration/adapters/django/console/test_pages.py -k token_of_another",
    ),
    Bug(
        "a dump of all data asks for no table of the console",
        "the model's rows are looked for", "django/console/models.py",
        "super().get_queryset().none()", "super().get_queryset()",
        "integration/adapters/django/console/test_permissions.py -k dump_of_all",
    ),
    Bug(
        "a web process loads the console when it opens a page",
        "it is loaded with the URLs", "django/console/views.py",
        "\n_FORBIDDEN", "\nimport vwo_celery.console  # noqa: F401\n\n_FORBIDDEN",
        "integration/adapters/django/console/test_pages.py -k opens_no_page",
    ),
    Bug(
        "an answer of 200 comes once the events are stored",
        "it does not wait for their receipts", "relay/app.py",
        "receipts = await store_encoded(target.queue, events)\n",
        "store_encoded(target.queue, events)\n            receipts = [IN_REDIS] * len(events)\n",
        "integration/relay/test_relay_answers.py -k nothing_took",
    ),
    Bug(
        "a request line that is known is no key",
        "its next request may name another one", "relay/app.py",
        "request.headers.get(b\"authorization\"))\n", "None)\n",
        "integration/relay/test_relay_any_requests.py -k known_line",
    ),
    Bug(
        "the relay is no open proxy",
        "usage statistics are sent on whoever sends them", "relay/app.py",
        "if not self.access.allows(account, key):\n            raise Refused(answers.UNKNOWN_KEY)\n"
        "        line",
        "if False:\n            raise Refused(answers.UNKNOWN_KEY)\n        line",
        "integration/relay/test_relay_diagnostics.py -k open_proxy",
    ),
    Bug(
        "new batch options reach queues that are open",
        "only queues that are opened later have them", "relay/app.py",
        "renewed = self._destinations.renew()", "renewed: list[Renewed] = []",
        "acceptance/test_relay.py -k batch_options",
    ),
    Bug(
        "an answer of 200 means stored",
        "dropped events are answered 200", "relay/app.py",
        "if in_redis + spooled < len(receipts):", "if False:",
        "integration/relay/test_relay_answers.py -k 'nothing_took or full_queue'",
    ),
    Bug(
        "a client that leaves at once loses nothing",
        "something waits before the body is read", "relay/app.py",
        "            body = await _body_of(receive)\n",
        "            await in_thread(int)\n            body = await _body_of(receive)\n",
        "integration/relay/test_relay_mounted.py -k anything_waits",
    ),
    Bug(
        "a relay beside an application sees bodies before any middleware",
        "it stands behind the application", "relay/beside.py",
        'elif scope["type"] == "http" and _path_of(scope).startswith(beneath):', "elif False:",
        "integration/relay/test_relay_beside.py -k whatever_middleware",
    ),
    Bug(
        "no event goes under another region",
        "a full table takes the first of the SDK", "relay/destinations.py",
        "return destination.generation, destination.region, destination.base_url",
        "return destination.generation, destination.base_url",
        "integration/relay/test_relay_destinations.py -k folded",
    ),
    Bug(
        "only the accounts of the list are asked about",
        "whoever asks the gateway gets an answer", "relay/passing/gateway.py",
        "        if is_of_account and not self._access.allows(account, key):\n",
        "        if False:\n",
        "integration/relay/test_relay_gateway.py -k accounts_of_the_list",
    ),
    Bug(
        "only the accounts of the list get settings",
        "whoever asks gets some", "relay/passing/settings_files.py",
        "        if not self._access.allows(account, key):\n",
        "        if False:\n",
        "integration/relay/test_relay_settings.py -k others_get_none",
    ),
    Bug(
        "an item that is no event is lost alone",
        "its whole batch is refused", "relay/reading/batches.py",
        "if lost and not events:", "if lost:",
        "integration/relay/test_relay_answers.py -k lost_alone",
    ),
    Bug(
        "of a name that comes twice in a query the first counts",
        "the last one does", "relay/reading/request.py",
        "found.setdefault(_decoded(name), _decoded(value))",
        "found[_decoded(name)] = _decoded(value)",
        "integration/relay/test_relay_any_requests.py -k comes_twice",
    ),
    Bug(
        "tags are what the application gave",
        "Node's are decoded before they are read", "relay/reading/singles.py",
        'if "{" in raw:', "if False:",
        "integration/relay/test_relay_captures.py -k tags",
    ),
    Bug(
        "only those that are named may send",
        "a key of another account will do", "relay/rules/access.py",
        "known = self._allowed.get(account)\n        return known is not None and key",
        "known = Account(frozenset(k for a in self._allowed.values() for k in a.keys))\n"
        "        return known is not None and key",
        "integration/relay/test_relay_destinations.py -k named_may_send",
    ),
    Bug(
        "only a proxy that leaves is a finding",
        "PHP's clients count as a proxy's", "relay/serving/bounds.py",
        '    if scope["http_version"] == "1.0" or any(', "    if True or any(",
        "integration/relay/test_relay_telling.py -k behind_a_proxy",
    ),
    Bug(
        "what was stored is answered 200 in spite of stray bytes",
        "it is answered 400", "relay/serving/bounds.py",
        "if is_due and not cycle.more_body:", "if False:",
        "integration/relay/test_relay_bounds.py -k spite",
    ),
    Bug(
        "a client that sends on reads its refusal",
        "the connection is closed at once", "relay/serving/bounds.py",
        "        self._linger()\n", "        self.transport.close()\n",
        "integration/relay/test_relay_bounds.py -k sends_on",
    ),
    Bug(
        "a body has its time",
        "each byte gives it more", "relay/serving/bounds.py",
        "if self._timed != self._message * _STAGES + self._stage:", "if True:",
        "integration/relay/test_relay_bounds.py -k trickles",
    ),
    Bug(
        "all bodies together are bounded",
        "what was answered counts for ever", "relay/serving/bounds.py",
        "        _held.bytes -= self._held_bytes\n", "",
        "integration/relay/test_relay_bounds.py -k together",
    ),
    Bug(
        "SIGTERM finishes what was read",
        "the relay has no time for it", "relay/serving/running.py",
        "timeout_graceful_shutdown=STOP_SECONDS", "timeout_graceful_shutdown=0",
        "acceptance/test_relay.py -k sigterm",
    ),
    Bug(
        "what a relay met is seen after a deploy",
        "a process that ends leaves no card", "relay/telling/cards.py",
        "            if has_ended:\n                return\n"
        "            has_ended = self._ending.wait(TELL_SECONDS)",
        "            if self._ending.wait(TELL_SECONDS):\n                return",
        "integration/relay/test_relay_telling.py -k that_ends",
    ),
)  # fmt: skip
