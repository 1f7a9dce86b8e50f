"""Export the functions that change alerts. Other apps import them from here, not from the modules of this package."""

from alerts.services.channel_state import enable_channel, repair_channel
from alerts.services.channel_tests import (
    run_test,
    send_test,
    send_test_of_form,
    send_tests_of_type,
    send_tests_to_person,
)
from alerts.services.checks import CheckResult, run_all_checks
from alerts.services.delivery import DeliveryOutcome, deliver, resend
from alerts.services.dispatch import deliver_waiting
from alerts.services.evaluate import EvaluationResult, evaluate_rule, evaluate_rules
from alerts.services.followups import follow_up
from alerts.services.problems import Contended, clear_problem, report_problem
from alerts.services.routes import announce_soon, change_routes
from alerts.services.rule_problems import problem_key
from alerts.services.silences import silence
from alerts.services.triage import acknowledge, comment, dismiss, mark_read, resolve
from alerts.services.undo import undo

__all__ = [
    "CheckResult",
    "Contended",
    "DeliveryOutcome",
    "EvaluationResult",
    "acknowledge",
    "announce_soon",
    "change_routes",
    "clear_problem",
    "comment",
    "deliver",
    "deliver_waiting",
    "dismiss",
    "enable_channel",
    "evaluate_rule",
    "evaluate_rules",
    "follow_up",
    "mark_read",
    "problem_key",
    "repair_channel",
    "report_problem",
    "resend",
    "resolve",
    "run_all_checks",
    "run_test",
    "send_test",
    "send_test_of_form",
    "send_tests_of_type",
    "send_tests_to_person",
    "silence",
    "undo",
]
