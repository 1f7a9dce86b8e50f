"""Define the panels of the five dashboards. `build.py` generates Grafana's files from them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"  # Either "timeseries", "stat", "table" or "bargauge".
    width: int = 12
    height: int = 8
    warning: float | None = None
    critical: float | None = None
    below: bool = False  # True if lower values are worse.
    description: str = ""


def q(expr: str, legend: str = "") -> Query:
    return Query(expr, legend)


def stat(title: str, expr: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, (q(expr),), unit, "stat", 4, 4, **more)


QUANTILE = 'histogram_quantile({q}, sum by (le, kind) (rate(opsportal_call_duration_seconds_bucket{{kind=~"{kind}"}}[$__rate_interval])))'


def quantiles(kind: str) -> tuple[Query, ...]:
    return tuple(
        q(QUANTILE.format(q=share, kind=kind), label)
        for share, label in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


OVERVIEW = [
    stat("Database", "opsportal_database_up", "bool_on_off", critical=1, below=True),
    stat("Components down", "count(opsportal_component_status < 0.5) or vector(0)", critical=1),
    stat("Critical alerts", 'opsportal_alerts_active{severity="critical"}', critical=1),
    stat("Errors per minute", "sum(opsportal_errors_per_minute)", warning=0.5, critical=5),
    stat("Active users", "opsportal_active_users"),
    stat("Queued tasks", "opsportal_queue_backlog", warning=50, critical=500),
    Panel(
        "Components: 1 operational, 0.5 degraded, 0 down",
        (q("opsportal_component_status", "{{component}}"),),
        width=12,
    ),
    Panel(
        "Uptime, 30 days",
        (q('opsportal_component_uptime_ratio{window="30d"}', "{{component}}"),),
        "percentunit",
        "bargauge",
        12,
        warning=0.9995,
        critical=0.999,
        below=True,
    ),
    Panel(
        "Component response time",
        (q("opsportal_component_response_seconds", "{{component}}"),),
        "s",
    ),
    Panel(
        "Calls by kind",
        (q("sum by (kind) (rate(opsportal_calls_total[$__rate_interval]))", "{{kind}}"),),
        "reqps",
    ),
    Panel(
        "Queued tasks, and the age of the oldest",
        (q("opsportal_queue_backlog", "waiting"), q("opsportal_queue_oldest_seconds", "oldest, s")),
    ),
    Panel(
        "Time since a worker's last tick",
        (q("opsportal_queue_tick_age_seconds", "age"),),
        "s",
        warning=150,
        critical=300,
    ),
    Panel("Database size", (q("opsportal_database_size_bytes", "size"),), "bytes", warning=8e9),
    Panel("Active alerts", (q("opsportal_alerts_active", "{{severity}}"),)),
    Panel(
        "Jobs: time since the last run finished",
        (q("opsportal_job_finished_age_seconds", "{{job}}"),),
        "s",
        "table",
        12,
    ),
    Panel(
        "Circuit breakers: 0 closed, 1 half-open, 2 open",
        (q("opsportal_breaker_state", "{{dependency}}"),),
    ),
]
PERFORMANCE = [
    stat(
        "Requests per second",
        'sum(rate(opsportal_calls_total{kind="request"}[$__rate_interval]))',
        "reqps",
    ),
    stat(
        "Request duration, p95", QUANTILE.format(q=0.95, kind="request"), "s", warning=1, critical=3
    ),
    stat(
        "Function calls per second",
        'sum(rate(opsportal_calls_total{kind="function"}[$__rate_interval]))',
        "reqps",
    ),
    stat(
        "Function duration, p95",
        QUANTILE.format(q=0.95, kind="function"),
        "s",
        warning=3,
        critical=10,
    ),
    stat("Page load time, p95", QUANTILE.format(q=0.95, kind="page"), "s", warning=3, critical=5),
    stat("Rate-limited requests, 5 min", "sum(opsportal_rate_limit_blocked_calls)", warning=100),
    Panel("Request duration", quantiles("request"), "s", warning=3),
    Panel("Function duration", quantiles("function"), "s", warning=3),
    Panel("Page load time", quantiles("page"), "s", warning=5),
    Panel(
        "Mean duration by kind",
        (
            q(
                "sum by (kind) (rate(opsportal_call_duration_seconds_sum[$__rate_interval])) / sum by (kind) (rate(opsportal_call_duration_seconds_count[$__rate_interval]) > 0)",
                "{{kind}}",
            ),
        ),
        "s",
    ),
    Panel("Calls per minute by app", (q("opsportal_app_calls_per_minute", "{{app}} {{kind}}"),)),
    Panel(
        "Mean duration by app",
        (q("opsportal_app_call_seconds", "{{app}} {{kind}}"),),
        "s",
        warning=3,
    ),
    Panel(
        "Share of calls slower than 3 s",
        (
            q(
                '1 - sum by (kind) (rate(opsportal_call_duration_seconds_bucket{le="3"}[$__rate_interval])) / sum by (kind) (rate(opsportal_call_duration_seconds_count[$__rate_interval]) > 0)',
                "{{kind}}",
            ),
        ),
        "percentunit",
    ),
    Panel("Rate-limited requests", (q("opsportal_rate_limit_blocked_calls", "{{tier}}"),)),
]
ERRORS = [
    stat("Errors per minute", "sum(opsportal_errors_per_minute)", warning=0.5, critical=5),
    stat(
        "Critical errors per minute",
        'opsportal_errors_per_minute{severity="critical"}',
        critical=0.1,
    ),
    stat("Open groups", 'sum(opsportal_error_groups{status="open"}) or vector(0)'),
    stat(
        "Failed calls",
        "sum(rate(opsportal_calls_failed_total[$__rate_interval])) / sum(rate(opsportal_calls_total[$__rate_interval]) > 0)",
        "percentunit",
        warning=0.01,
        critical=0.05,
    ),
    stat("Critical alerts", 'opsportal_alerts_active{severity="critical"}', critical=1),
    stat(
        "Failed notifications",
        'sum(opsportal_notifications{state="failed"}) or vector(0)',
        critical=1,
    ),
    Panel(
        "Errors per minute by severity",
        (q("opsportal_errors_per_minute", "{{severity}}"),),
        warning=0.5,
        width=24,
    ),
    Panel(
        "Events stored per minute by app",
        (q("sum by (app) (rate(opsportal_error_events_total[$__rate_interval])) * 60", "{{app}}"),),
    ),
    Panel("Error groups by status", (q("sum by (status) (opsportal_error_groups)", "{{status}}"),)),
    Panel(
        "Failed calls by kind",
        (
            q(
                "sum by (kind) (rate(opsportal_calls_failed_total[$__rate_interval])) / sum by (kind) (rate(opsportal_calls_total[$__rate_interval]) > 0)",
                "{{kind}}",
            ),
        ),
        "percentunit",
        critical=0.05,
    ),
    Panel(
        "Failed calls by app",
        (q("opsportal_app_calls_failed_ratio", "{{app}} {{kind}}"),),
        "percentunit",
        critical=0.05,
    ),
    Panel("Alerts by severity", (q("opsportal_alerts_active", "{{severity}}"),)),
    Panel(
        "Items not stored",
        (
            q(
                "sum by (category) (rate(opsportal_error_items_discarded_total[$__rate_interval])) or vector(0)",
                "{{category}}",
            ),
        ),
    ),
]
BUSINESS = [
    stat("Payments, last hour", "sum(increase(opsportal_payments_total[1h])) or vector(0)"),
    stat("Money received (minor units)", "sum(opsportal_payments_received_total) or vector(0)"),
    stat(
        "Duplicate payments prevented", "opsportal_payment_duplicates_prevented_total or vector(0)"
    ),
    stat("Stuck payments", "opsportal_payments_stuck or vector(0)", critical=1),
    stat(
        "Payment and seat mismatches",
        "opsportal_reservation_discrepancies or vector(0)",
        critical=1,
    ),
    stat(
        "Credit balance",
        'min(opsportal_business_level{name="credit_balance"})',
        warning=200,
        critical=100,
        below=True,
    ),
    Panel(
        "Payments by status",
        (q("sum by (status) (opsportal_payments_total) or vector(0)", "{{status}}"),),
    ),
    Panel(
        "Reservations by status",
        (q("sum by (status) (opsportal_reservations_total) or vector(0)", "{{status}}"),),
    ),
    Panel(
        "Money received per hour by currency (minor units)",
        (
            q(
                "sum by (currency) (increase(opsportal_payments_received_total[1h])) or vector(0)",
                "{{currency}}",
            ),
        ),
    ),
    Panel(
        "Tickets left",
        (q('opsportal_tickets{state="left"} or vector(0)', "{{event}} {{ticket_type}}"),),
        "short",
        "bargauge",
        warning=20,
        critical=5,
        below=True,
    ),
    Panel(
        "Messages per hour",
        (
            q(
                "sum by (channel, outcome) (increase(opsportal_deliveries_total[1h]))",
                "{{channel}} {{outcome}}",
            ),
        ),
    ),
    Panel(
        "SMS failure rate",
        (
            q(
                'sum(increase(opsportal_deliveries_total{channel="sms",outcome=~"failed|bounced"}[1h])) / (sum(increase(opsportal_deliveries_total{channel="sms",outcome="sent"}[1h])) > 0) or vector(0)',
                "SMS",
            ),
        ),
        "percentunit",
        critical=0.1,
    ),
    Panel(
        "Stripe events by state",
        (q("sum by (state) (opsportal_webhook_events) or vector(0)", "{{state}}"),),
    ),
    Panel(
        "Counters from apps, per hour",
        (q("sum by (name) (increase(opsportal_business_events_total[1h]))", "{{name}}"),),
    ),
    Panel("Gauges from apps", (q("opsportal_business_level", "{{app}} {{name}}"),), width=24),
]
USERS = [
    stat("Active now", "opsportal_active_users", warning=100),
    stat("Maximum in 24 h", "max_over_time(opsportal_active_users[24h])"),
    stat("Mean in 24 h", "avg_over_time(opsportal_active_users[24h])"),
    stat(
        "Page loads per minute",
        'sum(rate(opsportal_calls_total{kind="page"}[$__rate_interval])) * 60',
    ),
    stat("Page load time, p95", QUANTILE.format(q=0.95, kind="page"), "s", warning=3, critical=5),
    stat("Reservations, last hour", "sum(increase(opsportal_reservations_total[1h])) or vector(0)"),
    Panel(
        "Users active within 15 minutes",
        (q("opsportal_active_users", "users"),),
        width=24,
        warning=100,
    ),
    Panel("Active users by app", (q("opsportal_app_active_users", "{{app}}"),)),
    Panel(
        "Page loads per minute by app",
        (q('opsportal_app_calls_per_minute{kind="page"}', "{{app}}"),),
    ),
    Panel("Page load time", quantiles("page"), "s", warning=5),
    Panel(
        "Requests per minute by app",
        (q('opsportal_app_calls_per_minute{kind="request"}', "{{app}}"),),
    ),
]
DASHBOARDS = {
    "system-overview": ("System Overview", OVERVIEW),
    "api-performance": ("API Performance", PERFORMANCE),
    "error-rates": ("Error Rates", ERRORS),
    "business-metrics": ("Business Metrics", BUSINESS),
    "user-activity": ("User Activity", USERS),
}
