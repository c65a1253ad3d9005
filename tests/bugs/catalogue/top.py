"""Bugs in the fleet as a terminal shows it: `top/`."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "top says for how long Redis has not answered",
        "it is told only once the look has failed", "top/looking/desk.py",
        "        if silent >= SILENT_SECONDS:\n", "        if False:\n",
        "integration/top/test_top_outages.py -k stands_still",
    ),
    Bug(
        "a counter that fell has no rate",
        "the rate is below zero", "top/looking/rates.py",
        "        return None if grown < 0 else", "        return",
        "unit/test_top_parts.py -k fell",
    ),
    Bug(
        "a minute without a sample is a gap",
        "it is a zero", "top/looking/series.py",
        "        values += [None] * missing", "        values += [0.0] * missing",
        "unit/test_top_parts.py -k gap",
    ),
    Bug(
        "what drops events takes a capital letter twice",
        "a small y agrees as well", "top/parts/asking.py",
        "        if not self._plan.destroys and not self._plan.takes_reason:\n",
        "        if not self._plan.takes_reason:\n",
        "integration/top/test_top_keys.py -k small_letter",
    ),
    Bug(
        "without --operate no key of top changes anything",
        "its keys are there all the same", "top/parts/frame.py",
        "        return self.desk.operate or action not in self.changes\n", "        return True\n",
        "integration/top/test_top_keys.py -k without_operate",
    ),
    Bug(
        "a row that goes takes its mark along",
        "it stays marked unseen", "top/parts/tables.py",
        "        self.marked &= rows.keys()\n", "",
        "integration/top/test_top_marks.py -k takes_its_mark",
    ),
    Bug(
        "a key of top changes all that is marked",
        "it changes the row under the cursor", "top/parts/tables.py",
        "        if self.marked:\n            return [key", "        if False:\n            return [key",
        "integration/top/test_top_marks.py -k redriven_together",
    ),
    Bug(
        "top obeys no text from outside",
        "marks and control characters in names are drawn", "top/parts/words.py",
        "    return Text(one_line(text), _STYLES.get(style, style), no_wrap=True, justify=justify)",
        "    return Text(text, _STYLES.get(style, style), no_wrap=True, justify=justify)",
        "integration/top/test_top_texts.py",
    ),
    Bug(
        "top shows no SDK key",
        "events are shown as they are", "top/screens/batch.py",
        "masked(event, sdk_key))", 'event.decode("utf-8", "replace"))',
        "integration/top/test_top_keys.py -k without_the_key",
    ),
    Bug(
        "the page of keys of top tells all that its screens bind",
        "a key is bound and told nowhere", "top/screens/help.py",
        '        "d v": "dead letters, on a queue its own; on the overview the verdict",\n', "",
        "unit/test_top_keys.py",
    ),
)  # fmt: skip
