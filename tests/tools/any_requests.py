"""Whatever right and wrong requests may come to a relay on one connection, made by Hypothesis.

Each of them says what its client meant, so that a model can tell what must become of it.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tools.relays import ACCOUNT, KEY

OTHER_ACCOUNT, OTHER_KEY = "999999", "c" * 32
ALLOWED = {ACCOUNT: [KEY], OTHER_ACCOUNT: [OTHER_KEY]}
BATCHES = ("/server-side/batch-events", "/server-side/batch-events-v2")
EVENT = "/events/t"
#: Names that say which SDK it is, in the order in which a destination has them.
SAID = ("sdk", "sdk-v", "sd", "sn", "sv")
MOST_BYTES = 10_000_000
#: Levels of the deepest event that is taken; an item here nests either far less or far more.
MOST_NESTING = 500


@dataclass(frozen=True)
class Sent:
    """One request as the model reads it; `framed` is its body as it goes on the wire.

    `text` and `items` are what its client meant: all of the body, and its events, None if it is no
    such body; `codec` is how they were encoded.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    text: str
    items: tuple[str, ...] | None
    codec: str
    body: bytes
    framed: bytes

    def header(self, name: str) -> str:
        """A header's value, "" if there is none."""
        return next((value.strip() for each, value in self.headers if each.lower() == name), "")

    def __bytes__(self) -> bytes:
        target = f"{self.path}?{self.query}" if self.query else self.path
        lines = [
            f"{self.method} {target} HTTP/1.1",
            *(f"{n}: {v}" for n, v in self.headers),
            "",
            "",
        ]
        return "\r\n".join(lines).encode("latin-1") + self.framed


SPACE = st.text(" \t\r\n", max_size=2)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
OBJECTS = st.builds(
    lambda value, ascii_only, separators: json.dumps(
        value, ensure_ascii=ascii_only, separators=separators
    ),
    st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    st.booleans(),
    st.sampled_from(((",", ":"), (", ", ": "), (" ,\n", "\t:"))),
)
#: Objects at the edge of JSON.
ODD_OBJECTS = st.sampled_from((
    "{}", "{ }", '{"u":"\\ud83d"}', '{"u":"\\ud83d\\ude00"}', '{"u":1,"u":2}', '{"n":1e400}',
    '{"n":-0.0}', '{"n":%s}' % ("9" * 60), '{"u":"\\u0000"}', '{"u":"\x7fé"}',
    '{"":{"":[]}}', '{"u":"Ã©"}', '{"ev":[{"u":1}]}', '{"u":"]}"}', '{"u":"\\\\"}', '{"u":"\\""}',
    '{"x":' + "[" * 300 + "]" * 300 + "}",
))  # fmt: skip
#: Items that are no events.
NO_OBJECTS = st.sampled_from((
    "1", '"{}"', "null", "[]", "[{}]", "true", '{"u":NaN}', '{"u":-Infinity}', '{"u":"\t"}', "NaN",
    '{"x":' + "[" * 700 + "]" * 700 + "}",
))  # fmt: skip


def usually(*right: Any, wrong: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of *right*, and now and then one of *wrong*."""
    return st.integers(0, 15).flatmap(lambda dice: st.sampled_from(wrong if dice == 7 else right))


def _in_d(item: str) -> str:
    return f'{{"d":{item}}}'


#: Items that no reader gets past.
SPOILING = ("01", '{"n":01}', '{"n":1.}', '{"u":"\\x"}', "{")
RIGHT = (
    OBJECTS.map(_in_d)
    | ODD_OBJECTS.map(_in_d)
    | OBJECTS.map(lambda d: f'{{ "x" : 1 , "d" : {d} }}')
)
ITEMS = st.one_of(
    RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, OBJECTS, ODD_OBJECTS, NO_OBJECTS, NO_OBJECTS.map(_in_d),
    usually("{}", wrong=SPOILING),
)  # fmt: skip


@st.composite
def batches(draw: st.DrawFn) -> tuple[str, tuple[str, ...] | None]:
    """A body of a batch and its items; no items if it is no batch."""
    items = draw(st.lists(ITEMS, max_size=5))
    comma = draw(SPACE) + "," + draw(SPACE)
    text = f'"ev"{draw(SPACE)}:[{draw(SPACE)}{comma.join(items)}{draw(SPACE)}]'
    before, after = draw(
        st.sampled_from((("", ""), ("", ""), ('"a":[1],', ""), ("", ',"b":{"ev":2}')))
    )
    whole = f"{draw(SPACE)}{{{before}{text}{after}}}{draw(SPACE)}"
    if draw(usually(True, wrong=(False,))):
        return whole, tuple(items)
    wrong = ("", "[]", '{"ev":{}}', '{"ev":null}', "{}", whole.rstrip()[:-1], whole + "x")
    return draw(st.sampled_from(wrong)), None


@st.composite
def singles(draw: st.DrawFn) -> tuple[str, tuple[str, ...] | None]:
    """A body that is one event."""
    item = draw(RIGHT | RIGHT | ITEMS)
    return draw(SPACE) + item + draw(SPACE), (item,)


@st.composite
def queries(draw: st.DrawFn, names: dict[str, str]) -> str:
    """The names with their values in any order, spelled in any way; later duplicates do not count."""
    pairs = draw(st.permutations([*names.items(), *draw(st.lists(_STRANGE, max_size=2))]))
    later = [(name, "later") for name in draw(st.lists(st.sampled_from([*names]), max_size=2))]
    spelled = [f"{_spell(draw, name)}={_spell(draw, value)}" for name, value in [*pairs, *later]]
    ends = draw(st.sampled_from(("", "", "&", "&&", "&=", "&x")))
    return "&".join(spelled) + ends


_STRANGE = st.sampled_from((("r", "0.5"), ("x y", "ü&="), ("eTime", "1"), ("b", ""), ("A", "1")))


def _spell(draw: st.DrawFn, text: str) -> str:
    spelled = quote(text, safe="")
    if text and draw(st.integers(0, 3)) == 0:  # one letter more is escaped than need be
        place = draw(st.integers(0, len(text) - 1))
        spelled = (
            quote(text[:place], safe="") + _escape(text[place]) + quote(text[place + 1 :], safe="")
        )
    return spelled.replace("%20", "+") if draw(st.booleans()) else spelled


def _escape(letter: str) -> str:
    return "".join(f"%{byte:02x}" for byte in letter.encode())


KEYS = usually(
    (ACCOUNT, KEY),
    (OTHER_ACCOUNT, OTHER_KEY),
    wrong=((OTHER_ACCOUNT, KEY), (ACCOUNT, "e" * 32), ("", KEY)),
)
SDKS = st.sampled_from((
    {}, {"sdk": "node", "sdk-v": "1.73.0"}, {"sn": "vwo-fme-go-sdk", "sv": ""},
    {"sd": "ruby+x", "sn": "a b"},
))  # fmt: skip
REGIONS = usually(
    "", "", "/eu01", "/e%7501", wrong=("/toolong-toolong-x", "/a/b", "/a.b", "/%2Fa", "/eu01/eu01")
)
CODINGS = usually("", "", "", "identity", "gzip", "x-gzip", "GZIP", wrong=("br", "gzip, gzip"))
TYPES = st.sampled_from((
    None, "application/json", "text/plain; charset=ISO-8859-1", "application/json;charset=utf-8",
    "text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
))  # fmt: skip
CODECS = st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "latin-1"))
#: Headers that change nothing.
OTHERS = st.sampled_from((
    ("X-Empty", ""), ("Accept", "*/*"), ("Cookie", "a=b; c"), ("User-Agent", "\xe9"),
    ("Expect", "100-continue"), ("VWO-X-Forwarded-For", "1.2.3.4"), ("X-Long", "x" * 900),
))  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """One request to a path that takes POSTs."""
    account, key = draw(KEYS)
    path = draw(st.sampled_from((*BATCHES, *BATCHES, EVENT)))
    names = {"a": account, "env": key, **draw(SDKS)}
    if path == EVENT:
        names = {"en": "purchase", "a": account, "env": key, "sn": "vwo-fme-x", "sv": "1"}
    text, items = draw(batches() if path in BATCHES else singles())
    content_type = draw(TYPES)
    codec = "latin-1" if "8859" in (content_type or "") else draw(CODECS)
    body, headers = _body(draw, text.encode(codec, "replace"), content_type)
    given = draw(usually(None, key, f" {key}\t", wrong=("d" * 32,)))
    if given is not None:
        headers.append((draw(st.sampled_from(("Authorization", "authorization"))), given))
    headers += draw(st.lists(OTHERS, max_size=2, unique_by=lambda each: each[0]))
    framed, framing = _frame(draw, body)
    method = draw(usually("POST", wrong=("PUT", "DELETE")))
    region = draw(REGIONS)
    return Sent(
        method, region + path, draw(queries(names)),
        (("Host", "relay"), *draw(st.permutations([*headers, framing]))), text, items, codec, body,
        framed,
    )  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> list[Sent]:
    """Requests on one connection; some are to the first one's queue, also with another key."""
    first, *others = draw(st.lists(requests(), min_size=1, max_size=4))
    return [first, *(draw(st.sampled_from((each, *_like(first, each)))) for each in others)]


def _like(first: Sent, other: Sent) -> list[Sent]:
    """A request with the query of the first one; and with its path, and with another key, if they fit."""
    if EVENT in other.path and EVENT not in first.path:
        return []  # that query does not say of an event that an FME SDK sends it
    found = [replace(other, query=first.query)]
    if (EVENT in first.path) == (EVENT in other.path):
        same = replace(found[0], path=first.path)
        keys = [each for each in same.headers if each[0].lower() != "authorization"]
        found += [same, replace(same, headers=(*keys, ("Authorization", "d" * 32)))]
    return found


def _body(
    draw: st.DrawFn, body: bytes, content_type: str | None
) -> tuple[bytes, list[tuple[str, str]]]:
    """A body in some coding, and the headers that describe it."""
    coding = draw(CODINGS)
    headers = [("Content-Type", content_type)] if content_type is not None else []
    if coding:
        headers.append(("Content-Encoding", coding))
    return (_zip(draw, body) if "zip" in coding.lower() else body), headers


def _zip(draw: st.DrawFn, body: bytes) -> bytes:
    """A gzip stream of a body, in one or two members; sometimes cut short, spoiled, or a bomb."""
    place = draw(st.integers(0, len(body)))
    zipped = gzip.compress(body[:place]) + gzip.compress(body[place:])
    kind = draw(st.sampled_from((*["one", "two"] * 4, "cut", "spoiled", "more", "bomb")))
    if kind == "one":
        return gzip.compress(body)
    if kind == "cut":
        return zipped[: -draw(st.integers(1, 9) | st.integers(1, len(zipped)))]
    if kind == "spoiled":
        zipped = gzip.compress(body)
        place = draw(st.integers(_GZIP_HEADER_BYTES, len(zipped) - 1))
        return zipped[:place] + bytes([zipped[place] ^ 0x55]) + zipped[place + 1 :]
    if kind == "bomb":
        return BOMB + zipped
    return zipped + b"x" if kind == "more" else zipped


#: Bytes before the deflated ones (RFC 1952), whose flags its readers treat differently.
_GZIP_HEADER_BYTES = 10
BOMB = gzip.compress(b" " * (MOST_BYTES + 1))


def _frame(draw: st.DrawFn, body: bytes) -> tuple[bytes, tuple[str, str]]:
    """The body as it goes on the wire, and the header that says how."""
    if draw(st.booleans()):
        return body, (draw(st.sampled_from(("Content-Length", "content-length"))), str(len(body)))
    size = draw(st.integers(1, 40) if len(body) < 2_000 else st.just(4_096))
    extension = draw(st.sampled_from(("", ";a", ";a=b", ';name="x y";b=1')))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = [b"%x%s\r\n%s\r\n" % (len(each), extension.encode(), each) for each in pieces]
    trailer = draw(st.sampled_from((b"", b"X-Sum: 1\r\n", b"Authorization: x\r\n")))
    return b"".join(chunks) + b"0\r\n" + trailer + b"\r\n", ("Transfer-Encoding", "chunked")
