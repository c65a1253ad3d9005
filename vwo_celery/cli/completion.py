"""`vwo-celery completion`: the script by which a shell completes commands, options and queues."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from vwo_celery.cli.shared.documents import print_json, print_script
from vwo_celery.cli.shared.session import Session, common_options, json_option

_PROGRAM = "vwo-celery"
#: Variable by which the script asks this program for completions, as click reads it.
_VARIABLE = "_VWO_CELERY_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common_options
@json_option
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script by which SHELL completes commands, options and names of queues.

    In bash or zsh: eval "$(vwo-celery completion bash)"; in fish: vwo-celery completion fish |
    source.
    """
    kind = get_completion_class(shell)
    if kind is None:  # click knows all three
        raise click.ClickException(f"this release of click cannot complete in {shell}")
    script = kind(context.find_root().command, {}, _PROGRAM, _VARIABLE).source()
    if context.ensure_object(Session).json:
        print_json({"shell": shell, "script": script})
    else:
        print_script(script)
