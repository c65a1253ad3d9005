"""`vwo-celery ledger`: prove that every accepted event is somewhere."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vwo_celery.cli.shared.documents import print_json
from vwo_celery.cli.shared.lines import print_line
from vwo_celery.cli.shared.output import Column, Row, print_rows, say
from vwo_celery.cli.shared.session import Session, common_options, json_option, queue_option
from vwo_celery.operating.looks import inspector, ledgers
from vwo_celery.operating.looks.ledgers import Proof
from vwo_celery.operating.looks.views import Ledger
from vwo_celery.text.amounts import count


@click.command()
@queue_option
@common_options
@json_option
@click.pass_context
def ledger(context: click.Context, queues: Sequence[str]) -> None:
    """Prove that every accepted event is somewhere.

    Exits 1 if a queue is out of balance, that is, if this does not hold:
    accepted = delivered + dead + dropped + pending + in flight + released;
    also if a part of a Redis Cluster is away, whose queues are not shown. A queue of more than 10,000
    batches is read in slices, not at one moment: what comes and leaves meanwhile is allowed for.
    """
    session = context.ensure_object(Session)
    found = session.fleet.registrations()
    chosen = inspector.choose(found.readable, queues, found.unreadable)
    proofs = ledgers.prove(session.fleet, chosen)
    if not queues:
        strays = inspector.stray_shards(session.fleet, *found)
        proofs = sorted([*proofs, *ledgers.prove_shards(strays)], key=lambda proof: proof.queue)
    if session.json:
        print_json([_document(proof) for proof in proofs])
        for proof in proofs:
            if not proof.one_moment:
                print_line(f"{proof.queue}: {_NOT_ONE_MOMENT}", err=True)
    else:
        _print_ledger(proofs, always=bool(queues))
    if not all(proof.balanced for proof in proofs):
        context.exit(1)


def _document(proof: Proof) -> dict[str, object]:
    return {name: getattr(proof, name) for name in Ledger.__struct_fields__}


_MANY = f"{ledgers.MOST_AT_ONCE:,} batches"
_NOT_ONE_MOMENT = f"not one moment: it holds more than {_MANY}, which were read in slices"
_LEDGER_COLUMNS = (
    Column("queue"), Column("accepted", number=True), Column("delivered", number=True),
    Column("dead", number=True), Column("dropped", number=True), Column("pending", number=True),
    Column("in flight", number=True), Column("released", number=True), Column("balanced"),
)  # fmt: skip
#: Texts between the numbers of a ledger that is printed as a block.
_EQUATION = (" = ", " + ", " + ", " + ", " + ", " + ", " · ")


def _print_ledger(proofs: Sequence[Proof], *, always: bool) -> None:
    shown = [each for each in proofs if always or each.accepted or not each.balanced]
    if shown:
        print_rows(_LEDGER_COLUMNS, [_ledger_row(proof) for proof in shown], _EQUATION)
    if len(shown) < len(proofs):
        unused = count(len(proofs) - len(shown), "queue has", "queues have")
        say(f"{unused} never accepted an event", "dim")
    if not proofs:
        say("no queue is registered; an application registers its queue with its first event")


def _ledger_row(sums: Proof) -> Row:
    numbers = (
        sums.accepted, sums.delivered, sums.dead, sums.dropped, sums.pending, sums.in_flight,
        sums.released,
    )  # fmt: skip
    notes = [(f"dropped {n:,}: {reason}", "yellow") for reason, n in sums.drops.items() if n]
    if not sums.one_moment:
        notes.append((_NOT_ONE_MOMENT, "dim"))
    if sums.unreadable:
        more = len(sums.unreadable) - 1
        strange = sums.unreadable[0] + (f" and {more} more" if more else "")
        notes.insert(0, (f"cannot be read: {strange}, see: vwo-celery doctor", "bold red"))
    elif not sums.balanced:
        notes.insert(
            0, ("out of balance: keys were deleted or evicted, or it is a bug", "bold red")
        )
    cells = [sums.queue, *(f"{number:,}" for number in numbers), "yes" if sums.balanced else "NO"]
    return Row(cells, notes)
