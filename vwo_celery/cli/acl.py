"""`vwo-celery acl`: the line that gives a Redis user the rights of its role, and no others.

It asks Redis nothing.
"""

from __future__ import annotations

import re

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.session import Session, common_options, json_option
from vwo_celery.connections.clients import usable_url
from vwo_celery.queue.servers.roles import ROLES, Server, rules_of
from vwo_celery.settings.redis_url import RedisUrl

#: Characters that Redis allows in the name of a user.
_NAME = re.compile(r"[^\s\0]+")


@click.command()
@click.argument("role", type=click.Choice([*ROLES]), required=False)
@click.option(
    "--format", "form", type=click.Choice(["setuser", "users.acl"]), default="setuser",
    metavar="FORMAT", help="setuser, for redis-cli, or users.acl, Redis' ACL file.  [default: setuser]",
)  # fmt: skip
@click.option("--user", metavar="NAME", help="The user's name.  [default: NAMESPACE_ROLE]")
@common_options
@json_option
@click.pass_context
def acl(context: click.Context, role: str | None, form: str, user: str | None) -> None:
    """Print the rights that a Redis user of ROLE needs; without ROLE, of each.

    They are made from what this release sends. The user has no password yet, and can use Redis only
    once you have given it one. Celery's broker needs a user of its own.
    """
    if user is not None and role is None:
        raise click.UsageError("--user names one user: say of which ROLE")
    if user is not None and not _NAME.fullmatch(user):
        raise click.BadParameter("a user's name has no spaces", param_hint="--user")
    session = context.ensure_object(Session)
    settings = session.settings
    server = _server(usable_url(settings.redis_url))
    lines = []
    for each in [role] if role else ROLES:
        name = user or f"{settings.namespace}_{each}"
        begin = "ACL SETUSER" if form == "setuser" else "user"
        rules = rules_of(each, settings.namespace, server)
        lines.append({"role": each, "user": name, "line": f"{begin} {name} {rules}"})
    if session.json:
        print_json(lines)
        return
    for told in lines:
        print_line(told["line"])
    how = (
        f"ACL SETUSER {lines[0]['user']} '>PASSWORD'" if form == "setuser"
        else "add >PASSWORD, or # and its SHA-256, to the line"
    )  # fmt: skip
    print_line(f"no password yet; give it one: {how}", err=True, dim=True)


def _server(url: RedisUrl) -> Server:
    database = re.search(r"/[1-9]\d*$", url.path) or re.search(r"\bdb=0*[1-9]", url.query)
    return Server(cluster=url.kind == "cluster", database=database is not None)
