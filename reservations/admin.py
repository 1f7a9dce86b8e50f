"""Define the admin pages of events and ticket types, and read-only lists of reservations.

The lists offer no actions, because staff act on reservations on the pages in reservations/views.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.lib.admin import LogAdmin, PortalAdmin, PortalInline, Section
from core.lib.currencies import CURRENCIES, MAX_CHARGE, currency_of
from core.lib.customers import customer_references
from core.lib.formats import money, span
from core.lib.markup import state
from payments.admin import MoneyAdmin
from reservations.models import (
    Cleanup,
    Discrepancy,
    Event,
    Line,
    Reservation,
    TicketType,
    WaitingEntry,
)


class TicketTypeForm(ModelForm[TicketType]):
    price = forms.DecimalField(
        min_value=0,
        help_text="The price of one ticket, for example 25.00. Enter 0 for free tickets.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            currency = currency_of(self.instance.currency)
            self.initial["price"] = currency.to_decimal(self.instance.price)

    def clean_capacity(self) -> int:
        capacity: int = self.cleaned_data["capacity"]
        taken = self.instance.held + self.instance.sold
        if capacity < taken:
            raise ValidationError(
                f"{taken} tickets are already held or sold. Enter {taken} or more."
            )
        return capacity

    def clean_currency(self) -> str:
        currency = str(self.cleaned_data["currency"]).upper()
        if currency not in CURRENCIES:
            raise ValidationError(f"{currency} is not a currency that Stripe accepts.")
        return currency

    def clean(self) -> None:
        """Convert the decimal price into an amount in minor units, as in Stripe's API."""
        price, code = self.cleaned_data.get("price"), self.cleaned_data.get("currency")
        if price is None or not code:
            return
        currency = currency_of(code)
        amount = currency.from_decimal(price)
        if amount is None:
            self.add_error("price", currency.decimals_rule)
        elif amount > MAX_CHARGE:
            self.add_error("price", f"Enter {money(MAX_CHARGE, code)} or less.")
        else:
            self.cleaned_data["price"] = amount


class TicketTypeInline(PortalInline):
    model = TicketType
    form = TicketTypeForm
    template = "admin/edit_inline/stacked.html"
    extra = 0
    min_num = 1
    readonly_fields = ("held", "sold")
    fieldsets = (
        (None, {"fields": (("name", "capacity"), ("price", "currency"), ("held", "sold"))}),
        ("Sale", {"fields": ("sale_starts_at", "sale_ends_at")}),
        ("Limits", {"fields": ("per_customer_limit", "low_inventory_threshold")}),
        ("Waiting list", {"fields": ("has_waiting_list", "offer_minutes")}),
    )
    field_labels = {
        "name": "Name",
        "price": "Price",
        "sale_starts_at": "Start of the sale",
        "sale_ends_at": "End of the sale",
        "per_customer_limit": "Limit per customer (tickets)",
        "low_inventory_threshold": "Low-inventory threshold (tickets)",
        "has_waiting_list": "Waiting list",
        "offer_minutes": "Time limit of an offer (minutes)",
    }
    constraint_messages = {
        "an_offer_lasts_5_minutes_to_a_day": ("offer_minutes", "Enter 5 to 1,440 minutes."),
        "one_ticket_type_per_name_and_event": ("name", "Another ticket type has this name."),
    }
    field_help = {
        "name": "For example “Day ticket”.",
        "sale_starts_at": "Leave empty to start the sale immediately.",
    }

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the price as an amount to users who may not change it."""
        if self.has_change_permission(request, obj):
            return self.fieldsets
        first, *others = self.fieldsets
        lines = (("name", "capacity"), ("shown_price",), ("held", "sold"))
        return ((first[0], {"fields": lines}), *others)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "shown_price")

    @admin.display(description="Price")
    def shown_price(self, ticket_type: TicketType) -> str:
        return money(ticket_type.price, ticket_type.currency)


@admin.register(Event)
class EventAdmin(PortalAdmin):
    section = Section.BUSINESS
    setting_purpose = "Events and their ticket types."
    field_labels = {
        "slug": "Identifier",
        "is_on_sale": "On sale",
        "hold_minutes": "Time limit of a hold (minutes)",
        "max_outage_minutes": "Longest extension (minutes)",
        "starts_at": "Start",
    }
    fieldsets = (
        (None, {"fields": ("name", "slug", "starts_at", "is_on_sale")}),
        ("Holds", {"fields": ("hold_minutes", "extends_holds_in_outages", "max_outage_minutes")}),
    )
    constraint_messages = {
        "a_hold_lasts_1_to_120_minutes": ("hold_minutes", "Enter 1 to 120 minutes."),
        "an_outage_extends_a_hold_by_1_to_480_minutes": (
            "max_outage_minutes",
            "Enter 1 to 480 minutes.",
        ),
    }
    field_help = {
        "name": "For example “Harbour Lights Festival”.",
        "slug": "This identifier is used in the URLs of the event's pages, and by apps to refer to the event.",
    }
    list_display = ("name", "starts_at", "is_on_sale", "hold_minutes", "stock")
    list_filter = ("is_on_sale",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    ordering = (F("starts_at").desc(nulls_last=True), "name")
    inlines = (TicketTypeInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return super().get_queryset(request).prefetch_related("ticket_types")

    @admin.display(description="stock")
    def stock(self, event: Event) -> SafeString:
        types = list(event.ticket_types.all())
        return format_html(
            '<a href="{}">{} sold, {} held, {} in total</a>',
            reverse("reservations:event-page", args=[event.slug]),
            sum(type_.sold for type_ in types),
            sum(type_.held for type_ in types),
            sum(type_.capacity for type_ in types),
        )


class LineInline(PortalInline):
    model = Line
    extra = 0
    can_delete = False
    fields = readonly_fields = ("ticket_type", "quantity", "released", "shown_price")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="price per ticket")
    def shown_price(self, line: Line) -> str:
        return money(line.price, line.currency)


@admin.register(Reservation)
class ReservationAdmin(MoneyAdmin):
    section = Section.BUSINESS
    list_display = (
        "page_link",
        "shown_status",
        "num_seats",
        "app",
        "age",
        "expires_at",
        "order_id",
        "customer",
    )
    list_filter = ("status", "app", "lines__ticket_type__event")
    search_fields = ("uuid", "order_id", "customer", "request_id", "payment__intent_id")
    search_help_text = "Reservation, order, intent or request id, customer id or e-mail"
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-pk")
    list_select_related = ("app",)
    list_display_links = None
    inlines = (LineInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reservation]:
        return super().get_queryset(request).prefetch_related("lines")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Reservation], search_term: str
    ) -> tuple[QuerySet[Reservation], bool]:
        if "@" in search_term:
            return queryset.filter(customer__in=customer_references(search_term)), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="reservation", ordering="created_at")
    def page_link(self, reservation: Reservation) -> SafeString:
        url = reverse("reservations:reservation-page", args=[reservation.uuid])
        return format_html('<a class="mono" href="{}">{}</a>', url, str(reservation.uuid)[:8])

    @admin.display(description="status", ordering="status")
    def shown_status(self, reservation: Reservation) -> SafeString:
        return state(reservation.shown_status(timezone.now()))

    @admin.display(description="seats")
    def num_seats(self, reservation: Reservation) -> int:
        return sum(line.kept for line in reservation.lines.all())

    @admin.display(description="age", ordering="created_at")
    def age(self, reservation: Reservation) -> str:
        return span(timezone.now() - reservation.created_at)


@admin.register(Discrepancy)
class DiscrepancyAdmin(MoneyAdmin):
    section = Section.BUSINESS
    list_display = ("kind", "amount", "opened_at", "settled_at", "settled_by", "settlement")
    list_filter = ("kind", ("settled_at", admin.EmptyFieldListFilter))
    search_fields = ("payment__order_id", "payment__intent_id", "reservation__uuid")
    ordering = ("-opened_at", "-pk")
    list_select_related = ("payment", "settled_by")

    @admin.display(description="amount")
    def amount(self, discrepancy: Discrepancy) -> str:
        return money(discrepancy.payment.amount_received, discrepancy.payment.currency)


@admin.register(WaitingEntry)
class WaitingEntryAdmin(LogAdmin):
    section = Section.BUSINESS
    list_display = ("ticket_type", "quantity", "state", "customer", "app", "created_at", "ended_at")
    list_filter = ("state", "app", "ticket_type__event")
    search_fields = ("uuid", "order_id", "customer", "reservation__uuid")
    search_help_text = "Entry, order or reservation id, customer id or e-mail"
    ordering = ("-created_at", "-pk")
    list_select_related = ("ticket_type__event", "app")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WaitingEntry], search_term: str
    ) -> tuple[QuerySet[WaitingEntry], bool]:
        if "@" in search_term:
            return queryset.filter(customer__in=customer_references(search_term)), False
        return super().get_search_results(request, queryset, search_term)


@admin.register(Cleanup)
class CleanupAdmin(LogAdmin):
    section = Section.BUSINESS
    list_display = ("at", "reservation_count", "seat_count", "duration_ms")
    ordering = ("-at", "-pk")
