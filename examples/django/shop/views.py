"""Two views that track: one through the SDK, one together with a database transaction."""

import os
import time

from django.db import transaction
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from shop.experiments import client, queue
from shop.models import Order
from vwo_celery.django import enqueue_on_commit
from vwo_celery.event_kinds import Visitor, custom_event

PRICE = "49.90"


class PaymentError(Exception):
    """The visitor has no money: nothing was bought."""


@require_GET
def checkout(request, visitor):
    """Show the visitor a button; the SDK queues the event that tells VWO which one."""
    context = {"id": visitor, "user_agent": request.headers.get("User-Agent", "")}
    flag = client().get_flag("checkout", context)
    return JsonResponse({"button": flag.get_variable("color", "blue"), "process": os.getpid()})


@csrf_exempt  # the example is called by curl
@require_POST
def buy(request, visitor):
    """Buy; VWO is told if, and only if, the order is committed."""
    try:
        with transaction.atomic():
            order = Order.objects.create(visitor=visitor, price=PRICE)
            enqueue_on_commit(queue(), purchase(order))
            take_payment(request)
    except PaymentError:
        return JsonResponse({"order": None}, status=402)
    return JsonResponse({"order": order.pk}, status=201)


def purchase(order):
    """The event that the SDK's track_event would make."""
    return custom_event(
        queue().destination,
        Visitor(user_id=order.visitor),
        "purchase",
        {"order": order.pk, "price": float(order.price)},
        time_ms=time.time_ns() // 1_000_000,
    )


def take_payment(request):
    """Stand in for anything that may still fail after the order is written."""
    if request.POST.get("card") == "refused":
        raise PaymentError
