"""What can be done with alerts. Others call these; how they do it is in the modules beside."""

from alerts.services.channel_state import enable, revive_failing, send_test
from alerts.services.checks import CheckUp, run_all_checks
from alerts.services.delivery import deliver, deliver_waiting, resend
from alerts.services.evaluate import Evaluated, evaluate_rule, evaluate_rules, problem_key
from alerts.services.followups import follow_up
from alerts.services.problems import Contended, clear_problem, references_of, report_problem
from alerts.services.silences import silence
from alerts.services.triage import acknowledge, comment, dismiss, mark_read, resolve

__all__ = [
    "CheckUp",
    "Contended",
    "Evaluated",
    "acknowledge",
    "clear_problem",
    "comment",
    "deliver",
    "deliver_waiting",
    "dismiss",
    "enable",
    "evaluate_rule",
    "evaluate_rules",
    "follow_up",
    "mark_read",
    "problem_key",
    "references_of",
    "report_problem",
    "resend",
    "resolve",
    "revive_failing",
    "run_all_checks",
    "send_test",
    "silence",
]
