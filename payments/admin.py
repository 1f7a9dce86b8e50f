"""Define read-only lists of payments, events, refunds and mismatches.

The lists offer no actions, because staff act on payments on the pages in payments/views.
"""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.lib.admin import LogAdmin, Section
from core.lib.customers import customer_references
from core.lib.formats import NONE, money, span
from core.lib.markup import state
from payments.models import (
    Dispute,
    Mismatch,
    Payment,
    ReconciliationRun,
    Refund,
    RefusedDelivery,
    WebhookEvent,
)


class MoneyAdmin(LogAdmin):
    """A read-only admin from which nothing can be deleted, because the records of money must stay complete."""

    section = Section.BUSINESS

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class StuckFilter(admin.SimpleListFilter):
    title = "attention"
    parameter_name = "attention"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return [
            ("stuck", "Stuck"),
            ("repeated", "Duplicates prevented"),
            ("refunded", "Refunded"),
            ("partially_refunded", "Partially refunded"),
            ("disputed", "Disputed"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payment]) -> QuerySet[Payment]:
        if self.value() == "stuck":
            stuck = Payment.objects.stuck(timezone.now())
            return queryset.filter(pk__in=stuck)
        if self.value() == "repeated":
            return queryset.exclude(replay_count=0, conflict_count=0)
        if self.value() == "refunded":
            return queryset.filter(pk__in=Payment.objects.all().refunded())
        if self.value() == "partially_refunded":
            return queryset.filter(pk__in=Payment.objects.all().partially_refunded())
        if self.value() == "disputed":
            return queryset.filter(pk__in=Payment.objects.all().disputed())
        return queryset


@admin.register(Payment)
class PaymentAdmin(MoneyAdmin):
    """A list of payments that links to the portal's page of each payment.

    Stored responses are never shown, because they contain client secrets.
    """

    list_display = (
        "page_link",
        "money_status",
        "amount_with_currency",
        "app",
        "age",
        "num_duplicates",
        "error",
    )
    list_filter = (StuckFilter, "status", "app", "currency", "livemode")
    search_fields = ("order_id", "intent_id", "reservation_id", "uuid", "customer", "request_id")
    search_help_text = "Order, intent, reservation, payment or request id, customer id or e-mail"
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-pk")
    list_select_related = ("app",)
    list_display_links = None
    exclude = ("response_body", "request_body", "owner", "fingerprint")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Payment], search_term: str
    ) -> tuple[QuerySet[Payment], bool]:
        if "@" in search_term:
            return queryset.filter(customer__in=customer_references(search_term)), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="payment", ordering="created_at")
    def page_link(self, payment: Payment) -> SafeString:
        url = reverse("payments:payment-page", args=[payment.uuid])
        return format_html('<a href="{}">{}</a>', url, payment.order_id or payment.uuid)

    @admin.display(description="amount", ordering="amount")
    def amount_with_currency(self, payment: Payment) -> str:
        return payment.formatted_amount

    @admin.display(description="status", ordering="status")
    def money_status(self, payment: Payment) -> SafeString:
        return state(payment.shown_status, payment.shown_status_label)

    @admin.display(description="age", ordering="created_at")
    def age(self, payment: Payment) -> str:
        return span(timezone.now() - payment.created_at)

    @admin.display(description="duplicates prevented")
    def num_duplicates(self, payment: Payment) -> int:
        return payment.duplicates_prevented


@admin.register(WebhookEvent)
class WebhookEventAdmin(MoneyAdmin):
    list_display = (
        "event",
        "state",
        "received_at",
        "processing_time",
        "deliveries",
        "tries",
        "result",
    )
    list_filter = ("state", "type", "endpoint", "livemode")
    search_fields = ("event_id", "object_id", "request_id")
    date_hierarchy = "received_at"
    ordering = ("-received_at", "-pk")

    @admin.display(description="event", ordering="type")
    def event(self, event: WebhookEvent) -> SafeString:
        return format_html(
            '<span class="nowrap">{}</span><br><span class="quiet small">{}</span>',
            event.type,
            event.object_id,
        )

    @admin.display(description="outcome")
    def result(self, event: WebhookEvent) -> str:
        return event.outcome.replace("_", " ") or NONE

    @admin.display(description="processing time")
    def processing_time(self, event: WebhookEvent) -> str:
        if event.processed_at is None:
            return span(None)
        return span(max(timedelta(0), event.processed_at - event.received_at))


@admin.register(Refund)
class RefundAdmin(MoneyAdmin):
    list_display = (
        "payment",
        "amount_with_currency",
        "state",
        "asked_at",
        "asked_by",
        "reason",
        "error",
    )
    list_filter = ("state",)
    search_fields = ("payment__order_id", "payment__intent_id", "stripe_id")
    ordering = ("-asked_at", "-pk")
    list_select_related = ("payment", "asked_by")

    @admin.display(description="amount", ordering="amount")
    def amount_with_currency(self, refund: Refund) -> str:
        return money(refund.amount, refund.payment.currency)


@admin.register(Dispute)
class DisputeAdmin(MoneyAdmin):
    list_display = (
        "payment",
        "amount_with_currency",
        "status",
        "reason",
        "opened_at",
        "evidence_due_at",
        "closed_at",
    )
    list_filter = ("status", "reason")
    search_fields = ("payment__order_id", "payment__intent_id", "stripe_id")
    ordering = ("-opened_at", "-pk")
    list_select_related = ("payment",)

    @admin.display(description="amount", ordering="amount")
    def amount_with_currency(self, dispute: Dispute) -> str:
        return dispute.formatted_amount


@admin.register(Mismatch)
class MismatchAdmin(MoneyAdmin):
    list_display = (
        "kind",
        "intent_id",
        "detail",
        "found_at",
        "healed",
        "settled_at",
        "settled_by",
        "settlement",
    )
    list_filter = ("kind", "healed", ("settled_at", admin.EmptyFieldListFilter))
    search_fields = ("intent_id", "payment__order_id")
    ordering = ("-found_at", "-pk")
    list_select_related = ("settled_by",)


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(MoneyAdmin):
    list_display = (
        "started_at",
        "duration",
        "is_full",
        "event_count",
        "inserted_count",
        "intent_count",
        "healed_count",
        "mismatch_count",
        "late_count",
    )
    list_filter = ("is_full",)
    ordering = ("-started_at",)

    @admin.display(description="duration")
    def duration(self, run: ReconciliationRun) -> str:
        return span(run.finished_at - run.started_at) if run.finished_at else "did not finish"


@admin.register(RefusedDelivery)
class RefusedDeliveryAdmin(MoneyAdmin):
    list_display = ("hour", "reason", "count", "last_at", "sample")
    list_filter = ("reason",)
    ordering = ("-hour", "reason")
