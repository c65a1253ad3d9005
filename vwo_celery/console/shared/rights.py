"""What somebody may do in the console: four rights, and the four roles that most have.

Django's permissions are the rights, in any combination; elsewhere a role is enough. Pure: nothing to
lose.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import msgspec


class Right(enum.Enum):
    """One thing that one may do."""

    VIEW = "view"  # see numbers, names, reasons, settings, the audit
    PEEK = "peek"  # see events
    OPERATE = "operate"  # flush, pause, resume, retry, redrive, stop jobs
    PURGE = "purge"  # drop events for good


#: The roles by name, each with its rights.
ROLES: Final[Mapping[str, frozenset[Right]]] = {
    "viewer": frozenset({Right.VIEW}),
    "peek": frozenset({Right.VIEW, Right.PEEK}),
    "operator": frozenset({Right.VIEW, Right.PEEK, Right.OPERATE}),
    "purge": frozenset(Right),
}


class Visitor(msgspec.Struct, frozen=True):
    """Somebody who may come in.

    Attributes:
        name: The person, or the program; stands in the audit.
        rights: What they may do.
    """

    name: str
    rights: frozenset[Right]

    @classmethod
    def in_role(cls, role: str, name: str = "") -> Visitor:
        """Somebody with the rights of a role of `ROLES`; by default named as the role.

        Raises:
            ValueError: There is no such role.
        """
        if role not in ROLES:
            raise ValueError(f"there is no role {role!r}; roles are {', '.join(ROLES)}")
        return cls(name or role, ROLES[role])

    def may(self, right: Right) -> bool:
        """Whether they have a right."""
        return right in self.rights

    def at_most(self, rights: frozenset[Right]) -> Visitor:
        """The same, with no more than these rights."""
        return Visitor(self.name, self.rights & rights)
