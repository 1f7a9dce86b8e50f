"""Describe the stored list of noisy rules for the pages and the weekly report."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.messages import format_value
from alerts.models import AlertRule, RuleAdvice
from core.lib import formats


@dataclass(frozen=True)
class NoisyRule:
    rule: AlertRule
    advice: RuleAdvice

    @property
    def threshold(self) -> str:
        return _condition(self.rule, self.advice.threshold)

    @property
    def suggestion(self) -> str:
        """Return the suggested condition, such as "> 13 %", or "" if no threshold is suggested."""
        value = self.advice.suggested_threshold
        return "" if value is None else _condition(self.rule, value)

    @property
    def is_valid(self) -> bool:
        """Return True if the threshold has not been changed since the search."""
        return self.rule.threshold == self.advice.threshold

    @property
    def week(self) -> str:
        return (
            f"{_count(self.advice.alert_count, 'alert')}, "
            f"{self.advice.acknowledged_count} acknowledged, "
            f"{_count(self.advice.message_count, 'message')}"
        )

    @property
    def present(self) -> str:
        return _in_words(self.advice.fired_count, self.advice.firing_minutes)

    @property
    def preview(self) -> str:
        """Return the number and duration of the alerts that the suggested threshold would have caused, in words.

        Return "" if no threshold is suggested.
        """
        count = self.advice.suggested_fired_count
        return "" if count is None else _in_words(count, self.advice.suggested_firing_minutes or 0)

    @property
    def sentence(self) -> str:
        """Return the alerts of the week and the effect of the suggested threshold, if any, for the weekly report."""
        if not self.suggestion:
            return self.week
        change = f"With {self.suggestion} instead of {self.threshold}"
        return f"{self.week}. {change}: {self.preview} in the last {self.history}"

    @property
    def history(self) -> str:
        """Return the length of the period of the readings, such as "30 days" or "day", or "" without readings."""
        since = self.advice.readings_since
        if since is None:
            return ""
        days = round((self.advice.made_at - since) / timedelta(days=1))
        return f"{days} days" if days > 1 else "day"


def list_noisy_rules(since: datetime | None = None) -> list[NoisyRule]:
    """Return the rules that the last search found, noisiest first, or [] if the search ran before `since`."""
    found = RuleAdvice.objects.select_related("rule")
    if since:
        found = found.filter(made_at__gte=since)
    return [NoisyRule(one.rule, one) for one in found]


def _condition(rule: AlertRule, threshold: float) -> str:
    return f"{'≤' if rule.below else '>'} {format_value(threshold, rule.unit)}"


def _in_words(count: int, minutes: int) -> str:
    return f"{_count(count, 'alert')}, active for {formats.span(timedelta(minutes=minutes))}"


def _count(number: int, noun: str) -> str:
    return f"{formats.number(number)} {noun}{'' if number == 1 else 's'}"
