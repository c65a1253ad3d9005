"""Before an action: the page that says what it would do, with the form that does it. Nothing to lose."""

from __future__ import annotations

from vwo_celery.console.actions import ACTIONS
from vwo_celery.console.pages.plan import Plan
from vwo_celery.console.pages.plans import PLANS
from vwo_celery.console.pages.rendering import address_of, link, render
from vwo_celery.console.shared.exchange import Page
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.visits import Visit


def ask(visit: Visit) -> Page:
    """What an action would do, and its form."""
    name = visit.pieces["action"]
    if name not in ACTIONS or name not in PLANS:
        raise Refusal(404, f"there is no action {name!r} here")
    right = ACTIONS[name].right
    if not visit.may(right):
        raise Refusal(
            403, f"{visit.visitor.name} may not do this: it takes the right {right.value!r}",
            "ask whoever runs this console for a role that has it",
        )  # fmt: skip
    plan = PLANS[name](visit)
    document = {
        "title": plan.title,
        "plan": plan,
        "action": name,
        "back": _back(visit, plan),
        "level": "warn" if plan.for_good else "ok",
    }
    return Page(plan.title, render(visit, "ask.html", document), here="-")


def _back(visit: Visit, plan: Plan) -> str:
    if plan.back.startswith("dead") or not plan.back:
        return link(visit.root, plan.back)
    return address_of(visit.root, plan.back)
