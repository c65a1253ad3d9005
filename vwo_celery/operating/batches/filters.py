"""The filter: one small language by which every door picks batches, such as "answer:413 died:>2h".

Beside an event's way; pure: nothing to lose. A filter is a few words. All words must hold; of several
`queue:`, `batch:`, `answer:`, `event:` or `visitor:` words, one must. `str` of a filter is its
shortest spelling, and is read back as the same filter, so that audits, jobs and pages can keep it.
docs/reference/filters.md has the table of words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from vwo_celery.errors import FilterError
from vwo_celery.queue.looks.snapshots import BatchView
from vwo_celery.sending.outcomes import Failure, answer_of
from vwo_celery.text.wording import nearest, shown

#: One word: its name and colon, if it has one, then a value, bare or in quotes.
_WORD: Final = re.compile(
    r'(?:(?P<name>[A-Za-z_]+):)?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"]*))(?=\s|$)',
    re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")
_BARE: Final = re.compile(r'[^\s"]+')
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_STATUS: Final = re.compile(r"[1-9]\d\d|[1-9]xx", re.ASCII)
_AGE: Final = re.compile(r"([<>])(\d{1,9})([smhd])", re.ASCII)
_NUMBER: Final = re.compile(r"([<>]?)(\d{1,9})", re.ASCII)
#: Units of an age, in seconds, the largest first.
_UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
#: The words, and what the value of each may be; errors show both.
WORDS: Final = {
    "queue": ("the name of a queue", "queue:fme-888888-1f0c9a2b7d3e"),
    "batch": ("the id of a batch", "batch:4f1b0d"),
    "reason": ("a text that the reason contains", 'reason:"not accepted"'),
    "answer": (
        "a status such as 413, a class such as 5xx, or one of "
        + ", ".join(each.value for each in Failure),
        "answer:413",
    ),
    "died": ("> or <, a whole number, and s, m, h or d", "died:>2h"),
    "attempts": ("a whole number, alone or after > or <", "attempts:>3"),
    "event": ("the name of an event", "event:purchase"),
    "visitor": ("the application's id of a user, or VWO's", 'visitor:"u 1"'),
}


class Filter(msgspec.Struct, frozen=True):
    """What a batch must be to be picked; nothing set picks all.

    Attributes:
        queues: Names of queues; it must be in one of them.
        batches: Ids of batches; it must be one of them.
        reasons: Texts, in upper or lower case, each of which its reason must contain.
        answers: Statuses, classes of them and failures, one of which VWO's last answer must be.
        died_over_seconds: It must have died longer ago than this.
        died_under_seconds: It must have died less long ago than this.
        attempts_over: It must have had more attempts.
        attempts_under: It must have had fewer attempts.
        events: Names of events; it must hold one of them.
        visitors: Ids of users, the application's own or VWO's; it must hold an event of one of them.
            With *events*, one event must be both.
    """

    queues: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    died_over_seconds: int | None = None
    died_under_seconds: int | None = None
    attempts_over: int | None = None
    attempts_under: int | None = None
    events: tuple[str, ...] = ()
    visitors: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Read a filter; the empty text picks all.

        Raises:
            FilterError: A word is unknown, or its value cannot be read. The message names the word,
                what is allowed, and an example.
        """
        found = cls()
        at = _after_space(text, 0)
        while at < len(text):
            word = _WORD.match(text, at)
            if word is None:
                raise FilterError(_why_no_word(text[at:]))
            found = _with_word(found, word)
            at = _after_space(text, word.end())
        return found

    def narrowed(
        self, *, queues: Sequence[str] = (), batches: Sequence[str] = (), reason: str = ""
    ) -> Filter:
        """The filter with further words, as the options --queue, --batch and --reason stand for."""
        return replace(
            self,
            queues=_joined(self.queues, *queues),
            batches=_joined(self.batches, *batches),
            reasons=_joined(self.reasons, *([reason] if reason else [])),
        )

    def __str__(self) -> str:
        words = [
            _word(name, value)
            for name, values in (
                ("queue", self.queues), ("batch", self.batches), ("reason", self.reasons),
                ("answer", self.answers),
            )
            for value in values
        ]  # fmt: skip
        words += _bounds("died", _age(self.died_over_seconds), _age(self.died_under_seconds))
        words += self._attempts()
        words += [_word("event", each) for each in self.events]
        words += [_word("visitor", each) for each in self.visitors]
        return " ".join(words)

    def _attempts(self) -> list[str]:
        over, under = self.attempts_over, self.attempts_under
        if over is not None and under == over + 2:
            return [f"attempts:{over + 1}"]
        return _bounds("attempts", over, under)

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return self != Filter()

    @property
    def reads_events(self) -> bool:
        """Whether the events of a batch must be read to decide."""
        return bool(self.events or self.visitors)

    @property
    def asks_for_deaths(self) -> bool:
        """Whether it can pick dead letters only."""
        return self.died_over_seconds is not None or self.died_under_seconds is not None

    def picks(self, queue: str, batch: BatchView, now_ms: int) -> bool:
        """Whether all but the words on its events hold for a batch.

        Args:
            queue: Its queue.
            batch: The batch.
            now_ms: Redis' time, from which ages are counted.
        """
        return (
            (not self.queues or queue in self.queues)
            and (not self.batches or batch.id in self.batches)
            and self._picks_error(batch.error)
            and _between(self.attempts_over, batch.attempt, self.attempts_under)
            and self._picks_death(batch, now_ms)
        )

    def _picks_error(self, error: str) -> bool:
        text = error.lower()
        if not all(each.lower() in text for each in self.reasons):
            return False
        if not self.answers:
            return True
        answer = answer_of(error)
        return bool({answer, f"{answer[:1]}xx"} & {*self.answers}) if answer else False

    def _picks_death(self, batch: BatchView, now_ms: int) -> bool:
        if not self.asks_for_deaths:
            return True
        age_seconds = max(0, now_ms - batch.at_ms) / 1000
        return batch.state == "dead" and _between(
            self.died_over_seconds, age_seconds, self.died_under_seconds
        )


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _between(over: int | None, number: float, under: int | None) -> bool:
    return (over is None or number > over) and (under is None or number < under)


def _joined(values: tuple[str, ...], *more: str) -> tuple[str, ...]:
    """All values, each once, in their order."""
    return tuple(dict.fromkeys((*values, *more)))


def without_visitors(text: str) -> str:
    """A filter as it was typed, with the ids of visitors masked; nothing of one that cannot be read."""
    try:
        found = Filter.parse(text)
    except FilterError:
        return "…"
    return str(replace(found, visitors=("…",) if found.visitors else ()))


# -- writing


def _word(name: str, value: str) -> str:
    if _BARE.fullmatch(value):
        return f"{name}:{value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}:"{escaped}"'


def _bounds(name: str, over: object, under: object) -> list[str]:
    bounds = ((">", over), ("<", under))
    return [f"{name}:{sign}{bound}" for sign, bound in bounds if bound is not None]


def _age(seconds: int | None) -> str | None:
    """An age in the largest unit that spells it exactly."""
    if not seconds:
        return None if seconds is None else "0s"
    unit = next(each for each, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


# -- reading


def _with_word(found: Filter, word: re.Match[str]) -> Filter:
    name, quoted = word["name"], word["quoted"]
    value = word["bare"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
    if name is None:
        name = "reason"
    elif name not in WORDS:
        raise FilterError(_unknown(name, word[0]))
    if not value or (name == "answer" and not _is_answer(value)):
        raise _wrong(name, word[0])
    if name == "died":
        return _with_death(found, value, word[0])
    if name == "attempts":
        return _with_attempts(found, value, word[0])
    field = "batches" if name == "batch" else f"{name}s"
    return replace(found, **{field: _joined(getattr(found, field), value)})


def _is_answer(value: str) -> bool:
    return bool(_STATUS.fullmatch(value)) or value in {each.value for each in Failure}


def _with_death(found: Filter, value: str, word: str) -> Filter:
    age = _AGE.fullmatch(value)
    if age is None:
        raise _wrong("died", word)
    seconds = int(age[2]) * _UNITS[age[3]]
    if age[1] == ">":
        found = replace(found, died_over_seconds=max(seconds, found.died_over_seconds or 0))
    else:
        found = replace(found, died_under_seconds=_least(seconds, found.died_under_seconds))
    over, under = found.died_over_seconds, found.died_under_seconds
    if over is not None and under is not None and under <= over:
        raise FilterError(_nothing_left("died", over=_age(over), under=_age(under)))
    return found


def _with_attempts(found: Filter, value: str, word: str) -> Filter:
    number = _NUMBER.fullmatch(value)
    if number is None:
        raise _wrong("attempts", word)
    count = int(number[2])
    over = {">": count, "<": None, "": count - 1}[number[1]]
    under = {">": None, "<": count, "": count + 1}[number[1]]
    if over is not None:
        known = found.attempts_over
        found = replace(found, attempts_over=over if known is None else max(over, known))
    if under is not None:
        found = replace(found, attempts_under=_least(under, found.attempts_under))
    over, under = found.attempts_over, found.attempts_under
    if under is not None and under - (-1 if over is None else over) < 2:
        raise FilterError(_nothing_left("attempts", over=over, under=under))
    return found


def _least(number: int, known: int | None) -> int:
    return number if known is None else min(number, known)


# -- errors


def _wrong(name: str, word: str) -> FilterError:
    allowed, example = WORDS[name]
    return FilterError(f"filter: {name}: takes {allowed}, as in {example}; not {shown(word)}")


def _unknown(name: str, word: str) -> str:
    words = ", ".join(f"{each}:" for each in WORDS)
    return (
        f"filter: unknown word {name + ':'!r}{nearest(name, WORDS)}; known are {words}, as in "
        f'answer:413; to find it as a text, put it in quotes: "{word}"'
    )


def _nothing_left(name: str, *, over: object, under: object) -> str:
    bounds = " and ".join(_bounds(name, over, under))
    return (
        f"filter: {bounds} leaves nothing; {name}: takes {WORDS[name][0]}, as in {WORDS[name][1]}"
    )


def _why_no_word(rest: str) -> str:
    word = rest.split(maxsplit=1)[0]
    if word.count('"') % 2:
        return f'filter: the quote in {shown(word)} does not end; as in visitor:"u 1"'
    return (
        f'filter: {shown(word)} has quotes inside; put the whole value in quotes, as in visitor:"u 1", '
        'and write " in it as \\"'
    )
