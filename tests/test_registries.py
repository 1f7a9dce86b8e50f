"""Compare the registered hooks with a list, because the portal silently ignores a misspelled module.

Add new hooks to the list.
"""

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.utils.module_loading import import_string

from core.lib import schedules
from core.lib.registry import Registry, check_hook_modules

INVENTORY: dict[str, list[str]] = {
    "alert_types": [
        "backup",
        "certificate-expiry",
        "database-down",
        "dead-webhook",
        "failed-check",
        "failed-sms",
        "high-error-rate",
        "high-usage",
        "inventory-drift",
        "low-inventory",
        "missed-heartbeat",
        "money-without-seat",
        "monitor-down",
        "own-network-down",
        "payment-dispute",
        "payment-fault",
        "payment-mismatch",
        "received-alertmanager",
        "received-generic",
        "received-grafana",
        "rule-failing",
        "seat-and-money-differ",
        "slow-performance",
        "stripe-key-refused",
        "webhooks-missing",
    ],
    "alert_rules": [
        "activity.concurrent_users",
        "business.credit_balance",
        "business.failed_gift_cards",
        "delivery.failed_emails",
        "delivery.failed_sms",
        "delivery.sms_failure_rate",
        "errors.critical",
        "errors.high",
        "errors.new_groups",
        "errors.rate",
        "errors.regressed",
        "payments.failed_debits",
        "payments.stuck",
        "payments.webhook_lag",
        "performance.page_load",
        "performance.slow_response",
        "performance.very_slow_response",
        "reservations.low_inventory",
        "reservations.overdue_holds",
        "reservations.processing_too_long",
        "uptime.burn_fast",
        "uptime.burn_medium",
        "uptime.burn_slow",
        "usage.bandwidth",
        "usage.database_size",
        "usage.function_calls",
    ],
    "config_resources": [
        "channels",
        "checks",
        "heartbeats",
        "incident-templates",
        "incidents",
        "maintenance-windows",
        "monitors",
        "notification-rules",
        "overrides",
        "people",
        "rotations",
        "rules",
        "schedules",
        "silences",
        "status-pages",
        "teams",
        "types",
    ],
    "payables": [
        "reservations",
    ],
    "order_sources": [
        "payments",
        "refunds_due",
        "reservations",
    ],
    "problem_sources": [
        "alert",
        "group",
        "incident",
    ],
    "erasers": [
        "errors",
        "links",
        "list_entries",
        "logs",
        "orders",
        "payments",
        "reservations",
        "subscribers",
        "waiting_entries",
    ],
    "person_records": [
        "errors",
        "list_entries",
        "logs",
        "payments",
        "reservations",
        "subscribers",
        "waiting_entries",
    ],
    "retention_periods": [
        "accounts",
        "alerts",
        "errors",
        "health",
        "impact",
        "jobs",
        "limits",
        "logs",
        "otlp",
        "payments",
        "reservations",
    ],
    "cause_sources": [
        "alerts.settings",
        "clients.keys",
        "clients.settings",
        "errors.groups",
        "health.dependencies",
        "health.maintenance",
        "health.outages",
        "health.settings",
        "health.traffic",
        "payments.outages",
        "releases.deploys",
        "reservations.sales",
        "reservations.settings",
    ],
    "health_checks": [
        "backups",
        "cache",
        "database",
        "disk",
        "mail",
        "notifications",
        "payments",
        "queue",
        "resend",
        "reservations",
        "stripe",
    ],
    "overview_figures": [
        "errors.per_minute",
        "health.active_users",
        "health.failed_requests",
        "health.p95",
        "health.uptime",
        "payments.sales",
    ],
    "interval_sections": [
        "alerts.opened",
        "errors.groups",
        "payments.created",
        "reservations.created",
    ],
    "forecasts": [
        "health.backlogs",
        "health.database",
        "health.error_budget",
        "health.plan_limits",
        "payments.webhooks",
        "reservations.sold_out",
    ],
    "dashboard_widgets": [
        "alerts.active",
        "errors.live",
        "health.checks",
        "health.database",
        "health.deliveries",
        "health.first_steps",
        "health.forecasts",
        "health.functions",
        "health.jobs",
        "health.overview",
        "health.queue",
        "health.response_times",
        "health.uptime",
        "health.usage",
        "health.users",
        "health.verdict",
        "opsportal.blocked_calls",
        "opsportal.dependencies",
        "payments.at_a_glance",
        "reservations.at_a_glance",
    ],
    "event_sections": ["logs"],
    "traced_requests": ["logs"],
    "first_steps": [
        "alerts.channel",
        "alerts.recipients",
        "errors.first_error",
        "health.monitor",
        "health.status_page",
    ],
    "metrics": [
        "errors",
        "health.alerts",
        "health.business",
        "health.calls",
        "health.components",
        "health.impact",
        "health.portal",
        "opsportal.breakers",
        "opsportal.rate_limits",
        "opsportal.self_monitoring",
        "payments.totals",
        "payments.trouble",
        "reservations.tickets",
        "reservations.totals",
        "reservations.waiting",
    ],
    "tasks": [
        "alerts.tasks.check_deliveries",
        "alerts.tasks.check_errors",
        "alerts.tasks.check_performance",
        "alerts.tasks.clean_up",
        "alerts.tasks.evaluate_all",
        "alerts.tasks.find_noisy_rules",
        "alerts.tasks.follow_up",
        "alerts.tasks.ping_watchdog",
        "alerts.tasks.send_daily_digest",
        "alerts.tasks.send_error_digest",
        "alerts.tasks.send_weekly_report",
        "errors.tasks.add_up_hours",
        "errors.tasks.continue_deletions",
        "errors.tasks.count_releases",
        "errors.tasks.prune",
        "errors.tasks.prune_source_maps",
        "errors.tasks.resolve_source_maps",
        "logs.tasks.prune_logs",
        "otlp.tasks.prune_sums",
        "health.tasks.call_status_webhooks",
        "health.tasks.check_certificates",
        "health.tasks.keep_status",
        "health.tasks.prune",
        "health.tasks.record_gauges",
        "health.tasks.run_checks",
        "health.tasks.send_status_mails",
        "health.tasks.sweep_heartbeats",
        "health.tasks.take_backup",
        "health.tasks.verify_backup",
        "core.accounts.tasks.prune_access",
        "core.jobs.tasks.prune_history",
        "core.limits.tasks.remove_old_blocked_calls",
        "payments.tasks.continue_reconciliation",
        "impact.tasks.continue_erasures",
        "impact.tasks.prune",
        "payments.tasks.finish_payments",
        "payments.tasks.process_waiting_events",
        "payments.tasks.prune_events",
        "payments.tasks.reap_keys",
        "payments.tasks.watch_disputes",
        "payments.tasks.reconcile",
        "payments.tasks.reconcile_in_full",
        "reservations.tasks.check_integrity",
        "reservations.tasks.continue_cancellations",
        "reservations.tasks.extend_during_outage",
        "reservations.tasks.offer_tickets",
        "reservations.tasks.release_expired",
    ],
    "metric_readers": [
        "calls: number in the window",
        "counter: sum over the window",
        "duration: 95th percentile, ms",
        "duration: mean, ms",
        "failures: share of calls, %",
        "gauge: latest level, by app",
    ],
    "digest_sources": [
        "errors",
    ],
    "report_sections": [
        "alerts",
        "errors",
        "health.response_times",
        "health.uptime",
        "impact",
        "noise",
        "payments",
    ],
    "instant_checks": [
        "health checks",
    ],
    "paid_items": [
        "reservations",
    ],
    "search_sources": [
        "access.users",
        "alerts.alerts",
        "alerts.channels",
        "alerts.people",
        "alerts.rules",
        "alerts.schedules",
        "clients.apps",
        "errors.groups",
        "errors.releases",
        "errors.users",
        "health.components",
        "health.incidents",
        "health.silences",
        "jobs.jobs",
        "opsportal.actions",
        "opsportal.pages",
        "opsportal.settings",
        "payments.payments",
        "payments.refunds",
        "reservations.events",
        "reservations.reservations",
    ],
    "app_sections": [
        "errors.filters",
        "errors.sample",
        "health.heartbeats",
    ],
    "team_apps": ["alerts.teams"],
    "startup": [
        "access.roles",
        "clients.portal_app",
        "jobs.sync",
    ],
}
KINDS = {registry.kind: registry for registry in Registry.all.values()}
HOWTO = Path(__file__).resolve().parent.parent / "docs" / "howto"


@pytest.mark.parametrize("kind", INVENTORY)
def test_the_registry_contains_exactly_the_names_of_the_inventory(kind: str) -> None:
    assert KINDS[kind].names() == sorted(INVENTORY[kind])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "tasks"])
def test_every_kind_of_hook_is_documented(kind: str) -> None:
    overview = (HOWTO / "README.md").read_text()

    assert f"| `{kind}` |" in overview


def test_a_misspelled_hook_module_is_reported(tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    for name in ("__init__.py", "alert_rulez.py", "metrics.py"):
        (tmp_path / "hooks" / name).touch()
    app = SimpleNamespace(name="shop", path=str(tmp_path))

    [warning] = check_hook_modules([app])  # type: ignore[list-item]

    assert "shop.hooks.alert_rulez" in warning.msg
    assert warning.hint == "Did you mean alert_rules?"


def test_no_hook_module_of_the_portal_is_misspelled() -> None:
    assert check_hook_modules(None) == []


def test_every_scheduled_task_has_a_short_title_and_a_purpose() -> None:
    for job in schedules.registry:
        assert 0 < len(job.title) <= 40, job.name
        assert not job.title.endswith("."), job.name
        assert job.summary.endswith("."), job.name
    titles = [job.title for job in schedules.registry]
    assert len(titles) == len(set(titles))


def test_scheduled_tasks_take_no_arguments() -> None:
    for job in schedules.registry:
        parameters = inspect.signature(import_string(job.name)).parameters.values()
        required = [
            p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD
        ]
        assert not required, f"{job.name} requires {required}"
