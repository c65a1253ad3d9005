"""Judge the licences of all that an environment holds: known and free of duties, or excepted by name.

The list stands in `licences.yaml`. A licence that nobody has read, or none at all, is refused: a
person adds it there, or a reason for one package. Pure but for reading that file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from release.sboms import Sbom

_SPELLINGS = {"License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0"}
_LIST = Path(__file__).with_name("licences.yaml")


class Excepted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package that may have a licence which is not allowed to all.

    Attributes:
        licence: The licence as the package declares it, and no other; if it declares none, what its
            files say.
        reason: Why it may be there.
    """

    licence: str
    reason: str


class Licences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may stand beside us.

    Attributes:
        allowed: Licences that any package may have: SPDX ids, and names as packages spell them.
        excepted: Packages that may have others, by their names in small letters.
    """

    allowed: frozenset[str]
    excepted: dict[str, Excepted]

    def refusals(self, sbom: Sbom) -> list[str]:
        """Why components of a bill may not be there, one text each."""
        found = (self._refusal(each) for each in sbom["components"])
        return [refusal for refusal in found if refusal]

    def unused(self, names: Iterable[str]) -> list[str]:
        """Exceptions of packages that are not among the components' *names*."""
        return sorted(set(self.excepted) - {name.lower() for name in names})

    def _refusal(self, component: dict[str, Any]) -> str:
        spoken = f"{component['name']} {component['version']}"
        declared = declared_licences(component)
        wrong = [licence for licence in declared if not self.allows(licence)]
        excepted = self.excepted.get(component["name"].lower())
        wrong = [each for each in wrong if not (excepted and same(each, excepted.licence))]
        if not wrong and (declared or excepted):
            return ""
        return f"{spoken}: {', '.join(wrong)}" if wrong else f"{spoken} declares no licence"

    def allows(self, licence: str) -> bool:
        """Whether any package may have it; of "A AND B" each must be allowed, of "A OR B" one."""
        if licence in self.allowed:
            return True
        for word, enough in ((" OR ", any), (" AND ", all)):
            if word in licence and "(" not in licence:
                return enough(self.allows(part) for part in licence.split(word))
        return False


def read_licences(path: Path = _LIST) -> Licences:
    """Read the list; raises `msgspec.ValidationError` where it is not of its form."""
    return msgspec.yaml.decode(path.read_bytes(), type=Licences)


def same(one: str, other: str) -> bool:
    """Whether two spellings mean one licence, of those that a package may declare side by side."""
    return _SPELLINGS.get(one, one) == _SPELLINGS.get(other, other)


def declared_licences(component: dict[str, Any]) -> list[str]:
    """All licences that a component of a bill declares, one after the other, each once."""
    found = []
    for each in component.get("licenses", ()):
        licence = each.get("license", {})
        found.append(each.get("expression") or licence.get("id") or licence.get("name", ""))
    return list(dict.fromkeys(found))
