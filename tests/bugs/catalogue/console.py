"""Bugs of the console: `console/`."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a wrong secret tells nobody",
        "any name goes with any secret", "console/access/credentials.py",
        "if hmac.compare_digest(each.hashed, hashed) and is_named:",
        "if hmac.compare_digest(each.hashed, hashed) or name == each.visitor.name:",
        "unit/test_console_access.py -k known_by_name",
    ),
    Bug(
        "--read-only takes all changes away",
        "roles stay as they are", "console/access/guard.py",
        'self._most = ROLES["peek" if read_only else "purge"]', 'self._most = ROLES["purge"]',
        "unit/test_console_access.py -k read_only",
    ),
    Bug(
        "an open console answers no proxy",
        "it does not look for one", "console/access/guard.py",
        "        if is_passed_on(request):", "        if False:",
        "unit/test_console_access.py -k no_proxy",
    ),
    Bug(
        "a page with a name of its own is no page of ours",
        "every name is taken", "console/access/hosts.py",
        "or name in names", "or True",
        "unit/test_console_access.py -k strange_name",
    ),
    Bug(
        "an open console answers no proxy that tells nothing of itself",
        "only headers are looked at", "console/access/hosts.py",
        "        or _stands_elsewhere(request)\n", "",
        "unit/test_console_access.py -k no_proxy",
    ),
    Bug(
        "another site's form changes nothing",
        "a browser's word is not read", "console/access/origins.py",
        'return site == "same-origin"', 'return site != "cross-site"',
        "integration/console/test_console.py -k another_sites",
    ),
    Bug(
        "a password that browsers send by themselves proves nothing",
        "any credentials do", "console/access/origins.py",
        '.lower().startswith("bearer ")', '.strip()',
        "integration/console/test_console.py -k another_sites",
    ),
    Bug(
        "guessing ends",
        "no failure is counted", "console/access/throttle.py",
        "            failed.append(self._clock())\n", "",
        "unit/test_console_access.py -k guessing",
    ),
    Bug(
        "what was shown is what is changed",
        "more may match", "console/actions/dead.py",
        "if shown is not None and number > shown:", "if False:",
        "integration/console/test_actions.py -k more_than",
    ),
    Bug(
        "a purge says how much",
        "it goes without", "console/actions/dead.py",
        'if operation == "purge" and (', "if False and (",
        "integration/console/test_actions.py -k says_how_much",
    ),
    Bug(
        "a job of which no worker was told is given up",
        "it waits for ever", "console/actions/dead.py",
        "if not jobs.give_up(visit.fleet, job, str(exc)):", "if False:",
        "integration/console/test_actions.py -k without_a_broker",
    ),
    Bug(
        "a job that a worker has begun is told as ordered",
        "it is told as failed", "console/actions/dead.py",
        "if not jobs.give_up(visit.fleet, job, str(exc)):",
        "if not (jobs.give_up(visit.fleet, job, str(exc)) or True):",
        "integration/console/test_actions.py -k no_failure_of_the_broker",
    ),
    Bug(
        "a form that is sent twice at once orders once",
        "nobody looks for the other job", "console/actions/dead.py",
        "if other := jobs.give_way(visit.fleet, job):", "if other := \"\":",
        "integration/console/test_actions.py -k twice_at_once",
    ),
    Bug(
        "the highest value is highest",
        "the axis ends at its half", "console/charts/axes.py",
        "if each * power >= value), 20.0 * power)", "if each * power >= value / 2), 20.0 * power)",
        "unit/console/test_charts.py -k just_above",
    ),
    Bug(
        "a missing sample is a gap and never a zero",
        "a line goes on over it", "console/charts/drawing.py",
        "if found and found[-1].stop == place:", "if found:",
        "unit/console/test_charts.py -k missing_sample",
    ),
    Bug(
        "a role does only what it may",
        "actions are not looked at", "console/console.py",
        "        _demand(visit, action.right)\n", "",
        "integration/console/test_console.py -k does_what_it_may",
    ),
    Bug(
        "a role sees only what it may",
        "questions are not looked at", "console/console.py",
        "        _demand(visit, route.right)\n", "",
        "integration/console/test_console.py -k sees_what_it_may",
    ),
    Bug(
        "every answer is guarded",
        "one has no headers", "console/console.py",
        "        return guarded(answer)", "        return answer",
        "integration/console/test_console.py -k every_answer",
    ),
    Bug(
        "what was done is not done again by whoever loads its page again",
        "the form's own answer is the page", "console/pages/changes.py",
        "    if name == visit.change and find_change(visit.fleet, name, since_ms=since_ms) is None:\n",
        "    if True:\n",
        "integration/console/test_changes.py -k loaded_again",
    ),
    Bug(
        "whoever may not see events reads no visitor's id in a change",
        "its filter is shown as it was typed", "console/pages/changes.py",
        "next((visit.discreet(job_document(each)) for each in jobs), None)",
        "next((job_document(each) for each in jobs), None)",
        "integration/console/test_changes.py -k filter_on_visitors",
    ),
    Bug(
        "a page that asks stands still",
        "it renews itself", "console/pages/framing.py",
        "page.status in (200, _AWAY) and not asks", "page.status in (200, _AWAY)",
        "integration/console/test_pages.py -k under_its_reader",
    ),
    Bug(
        "no button does what a button cannot do",
        "a queue that every worker declines is resumed", "console/pages/plans.py",
        "    if view.stopped.by == _DECLINED:", "    if False:",
        "integration/console/test_pages.py -k declines",
    ),
    Bug(
        "what is shown before a purge goes with it",
        "the form has no count", "console/pages/plans.py",
        '            ("batches", str(amount.batches)),\n', "",
        "integration/console/test_pages.py -k before_a_purge",
    ),
    Bug(
        "nobody is led to what they may not do",
        "every command is a link", "console/pages/rendering.py",
        "    if not may(right):\n", "    if False:\n",
        "unit/console/test_links_in_words.py -k may_not",
    ),
    Bug(
        "letters that turn text around are shown as what they are",
        "templates print them", "console/pages/rendering.py",
        'return value if hasattr(value, "__html__") else one_line(str(value))', "return value",
        "integration/console/test_pages.py -k turn_text",
    ),
    Bug(
        "what keeps events now comes before what may",
        "troubles stand as they were found", "console/pages/verdicts.py",
        "key=_urgency)", "key=lambda each: each.state)",
        "unit/console/test_verdicts.py -k worst",
    ),
    Bug(
        "closed by default",
        "any address will do", "console/serving.py",
        "if not path and not is_loopback(host):", "if False:",
        "unit/test_console_access.py -k closed_by_default",
    ),
    Bug(
        "who may not see events finds none out by asking",
        "a filter on events takes no right", "console/shared/dead.py",
        "if wanted.reads_events and not visit.may(Right.PEEK):", "if False:",
        "integration/console/test_console.py -k filters_on_events",
    ),
    Bug(
        "masks hold for everybody",
        "what is no JSON is shown", "console/shared/payloads.py",
        "return _NO_JSON if isinstance(value, str) else", "return value if isinstance(value, str) else",
        "integration/console/test_console.py -k masks_hold",
    ),
    Bug(
        "many who look cost what one costs",
        "each looks anew", "console/shared/sources.py",
        "if monotonic() - kept.asked_at >= seconds:", "if True:",
        "integration/console/test_console.py -k many_who_look",
    ),
    Bug(
        "visitors in filters are masked",
        "a viewer sees them", "console/shared/visits.py",
        'if self.may(Right.PEEK) or "visitor:" not in told.filter:', "if True:",
        "integration/console/test_console.py -k masked_for_viewers",
    ),
)  # fmt: skip
