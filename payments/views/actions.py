"""Handle staff actions on payments.

Each action takes effect with a POST request. If it succeeds, the admin log records it with its time and user.
"""

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from core.lib.admin import log_change
from core.lib.app_access import limit
from core.lib.currencies import currency_of
from core.lib.formats import money
from core.lib.uuids import parse_uuids
from payments import services, stripe_api
from payments.extension_points import find_paid_items
from payments.models import Mismatch, Payment, Refund, WebhookEvent
from payments.queries.timeline import describe_payment
from payments.services.webhooks.receive import NotAnEvent

may_refund = permission_required("payments.change_payment", raise_exception=True)
may_handle_events = permission_required("payments.change_webhookevent", raise_exception=True)
may_settle = permission_required("payments.change_mismatch", raise_exception=True)


class RefundForm(forms.Form):
    amount = forms.DecimalField(min_value=Decimal("0.001"))
    reason = forms.CharField(max_length=200, help_text="The reason is stored with the refund.")
    form = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, payment: Payment, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.payment = payment
        self.items = find_paid_items(payment)
        amount = self.fields["amount"]
        amount.label = f"Amount in {payment.currency}"
        amount.help_text = f"At most {money(payment.refundable, payment.currency)}."
        for name in ("amount", "reason"):
            self.fields[name].widget.attrs["class"] = "input"
        amount.widget.attrs |= {"autofocus": True, "data-select": True}
        if self.items:
            self._add_seat_fields()

    def _add_seat_fields(self) -> None:
        choices = [Refund.Seats.RELEASE, Refund.Seats.KEEP]
        self.fields["seats"] = forms.ChoiceField(
            label="Tickets of this payment",
            choices=[(choice.value, choice.label) for choice in choices],
            widget=forms.RadioSelect,
            error_messages={"required": "Decide what happens to the tickets."},
        )
        for item in self.items:
            price = money(item.price, self.payment.currency)
            self.fields[f"release_{item.id}"] = forms.IntegerField(
                label=f"Release {item.label}",
                min_value=0,
                max_value=item.count,
                initial=item.count,
                required=False,
                help_text=f"At most {item.count}, at {price} each. This number is used only"
                " if seats are released.",
                widget=forms.NumberInput(attrs={"class": "input"}),
            )

    def clean_amount(self) -> int:
        """Validate the amount and convert it to minor units, as in Stripe's API."""
        given: Decimal = self.cleaned_data["amount"]
        currency = currency_of(self.payment.currency)
        amount = currency.from_decimal(given)
        if amount is None:
            raise forms.ValidationError(currency.decimals_rule)
        if not 0 < amount <= self.payment.refundable:
            raise forms.ValidationError("The amount exceeds what is left to refund.")
        return amount

    def clean(self) -> None:
        if self.cleaned_data.get("seats") == Refund.Seats.RELEASE and not self.released_items:
            self.add_error("seats", "Choose at least one ticket to release, or keep the seats.")

    @property
    def released_items(self) -> dict[str, int]:
        """Return the number of each item to release. The form must be valid."""
        if self.cleaned_data.get("seats") != Refund.Seats.RELEASE:
            return {}
        counts = {item.id: self.cleaned_data.get(f"release_{item.id}") for item in self.items}
        return {id_: count for id_, count in counts.items() if count}

    @property
    def decision(self) -> str:
        """Describe in a sentence what happens to the tickets. Return "" if the payment has none."""
        if not self.items:
            return ""
        released = self.released_items
        chosen = [
            f"{released[item.id]} x {item.label}" for item in self.items if item.id in released
        ]
        return f"Released: {'; '.join(chosen)}." if chosen else "The seats stay booked."

    def to_refund(self) -> services.NewRefund:
        return services.NewRefund(
            amount=self.cleaned_data["amount"],
            reason=self.cleaned_data["reason"],
            seats=Refund.Seats(self.cleaned_data.get("seats", "")),
            released_items=self.released_items,
        )


@may_refund
@require_http_methods(["GET", "POST"])
def refund(request: HttpRequest, reference: uuid.UUID) -> HttpResponse:
    """Refund in two steps: a form for amount, reason and tickets, and a confirmation.

    The form's id prevents a second refund if the form is sent twice.
    """
    payment = get_object_or_404(limit(Payment.objects.all()), uuid=reference)
    if request.method == "GET":
        refundable = currency_of(payment.currency).to_decimal(payment.refundable)
        form = RefundForm(payment, initial={"amount": refundable, "form": uuid.uuid4()})
        return _refund_page(request, payment, form, is_confirming=False)
    form = RefundForm(payment, request.POST)
    sent = Refund.objects.filter(uuid__in=parse_uuids([request.POST.get("form", "")])).first()
    if sent is not None:
        # The form was sent twice. Do not validate it again, because the first refund has used up its amount or tickets.
        _show_outcome(request, sent)
        return redirect("payments:payment-page", payment.uuid)
    if not form.is_valid():
        return _refund_page(request, payment, form, is_confirming=False)
    if request.POST.get("step") != "confirmed":
        return _refund_page(request, payment, form, is_confirming=True)
    assert isinstance(request.user, User)
    try:
        refund_ = services.refund(
            payment=payment,
            new_refund=form.to_refund(),
            form=form.cleaned_data["form"],
            user=request.user,
            now=timezone.now(),
        )
    except services.CannotRefund as refusal:
        messages.error(request, f"The payment was not refunded: {refusal}.")
    else:
        text = f"refund of {refund_.formatted_amount}: {refund_.reason}. {form.decision}"
        log_change(request, payment, text.strip())
        _show_outcome(request, refund_)
    return redirect("payments:payment-page", payment.uuid)


def _show_outcome(request: HttpRequest, refund_: Refund) -> None:
    if refund_.state == Refund.State.FAILED:
        messages.error(request, f"Stripe refused the refund: {refund_.error}")
    elif refund_.state == Refund.State.ASKED:
        messages.warning(
            request, "Stripe has not responded yet; the request will be retried automatically."
        )
    else:
        messages.success(request, f"Refund {refund_.state}.")


def _refund_page(
    request: HttpRequest, payment: Payment, form: RefundForm, *, is_confirming: bool
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": f"Refund {payment.formatted_amount}",
        "details": describe_payment(payment, form.items),
        "payment": payment,
        "form": form,
        "is_confirming": is_confirming,
        "decision": form.decision if is_confirming else "",
        "amount": money(form.cleaned_data["amount"], payment.currency) if is_confirming else "",
    }
    return render(request, "payments/refund.html", context, status=400 if form.errors else 200)


@may_handle_events
@require_POST
def replay_event(request: HttpRequest, pk: int) -> HttpResponse:
    event = get_object_or_404(limit(WebhookEvent.objects.all()), pk=pk)
    if services.replay_event(event, now=timezone.now()):
        log_change(request, event, "retried")
        services.process_event(event_pk=event.pk, now=timezone.now())
        event.refresh_from_db()
        messages.info(request, f"{event.event_id}: {event.state}. {event.outcome}")
    else:
        messages.info(request, f"{event.event_id} has already been processed.")
    return _back(request)


@may_handle_events
@require_POST
def ignore_event(request: HttpRequest, pk: int) -> HttpResponse:
    event = get_object_or_404(limit(WebhookEvent.objects.all()), pk=pk)
    if services.ignore_event(event, now=timezone.now()):
        log_change(request, event, "ignored")
        messages.success(request, "The event will not be processed.")
    else:
        messages.info(request, f"{event.event_id} is already {event.state}.")
    return _back(request)


@may_handle_events
@require_POST
def fetch_event(request: HttpRequest) -> HttpResponse:
    """Fetch and process an event that Stripe's dashboard shows but that never arrived at the portal."""
    event_id = request.POST.get("event_id", "").strip()
    if not event_id.startswith("evt_") or len(event_id) > 100:
        messages.error(request, "Enter an event id, which starts with evt_.")
        return _back(request)
    try:
        event = services.fetch_missing_event(event_id=event_id, now=timezone.now())
    except (stripe_api.StripeFailure, NotAnEvent) as failure:
        messages.error(request, f"The event was not fetched: {failure}")
    else:
        log_change(request, event, "fetched from Stripe")
        messages.success(request, f"{event_id}: {event.state}. {event.outcome}")
    return _back(request)


@may_settle
@require_POST
def settle_mismatch(request: HttpRequest, pk: int) -> HttpResponse:
    mismatch = get_object_or_404(limit(Mismatch.objects.all()), pk=pk)
    assert isinstance(request.user, User)
    note = request.POST.get("settlement", "").strip() or "resolved by staff"
    if services.settle_mismatch(
        mismatch=mismatch, settlement=note, user=request.user, now=timezone.now()
    ):
        log_change(request, mismatch, f"resolved: {note}"[:200])
        messages.success(request, "The mismatch was marked as resolved.")
    else:
        messages.info(request, "The mismatch was already resolved.")
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return redirect(wanted)
    return redirect("payments:overview")
