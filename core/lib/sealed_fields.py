"""Define model fields whose content is encrypted in the database, for secrets that staff enter.

The fields cannot be searched. Content that was stored before the field was encrypted is still readable, and is
encrypted when it is saved.
"""

import json
import logging
from typing import Any

from django.db import models
from django.db.models import Expression

from core.lib.sealed import CannotOpen, seal, unseal

log = logging.getLogger(__name__)

_MARK = "sealed"
_TEXT_PREFIX = "sealed:"
CANNOT_OPEN = (
    "a sealed field cannot be decrypted; add the former SECRET_KEY to SECRET_KEY_FALLBACKS"
)


class _Unopened(dict[str, Any]):
    """An empty object that stands for content that cannot be decrypted. Saving it keeps the stored content."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token


class _UnopenedText(str):
    """An empty string that stands for content that cannot be decrypted. Saving it keeps the stored content."""

    token: str


class SealedJSONField(models.JSONField):
    """A JSON object that is stored as {"sealed": "<token>"}. An empty object is stored unencrypted."""

    def from_db_value(self, value: Any, expression: Expression, connection: Any) -> Any:
        found = super().from_db_value(value, expression, connection)
        if not (isinstance(found, dict) and found.keys() == {_MARK}):
            return found
        try:
            return json.loads(unseal(found[_MARK]))
        except CannotOpen:
            log.error(CANNOT_OPEN, extra={"field": str(self)})
            return _Unopened(found[_MARK])

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if isinstance(value, _Unopened) and not value:
            value = {_MARK: value.token}
        elif isinstance(value, dict) and value:
            value = {_MARK: seal(json.dumps(value))}
        return super().get_db_prep_value(value, connection, prepared)


class SealedTextField(models.TextField):  # type: ignore[type-arg]  # not generic at runtime
    """A string that is stored as "sealed:<token>". An empty string is stored unencrypted."""

    def from_db_value(self, value: Any, expression: Expression, connection: Any) -> Any:
        if not isinstance(value, str) or not value.startswith(_TEXT_PREFIX):
            return value
        token = value.removeprefix(_TEXT_PREFIX)
        try:
            return unseal(token)
        except CannotOpen:
            log.error(CANNOT_OPEN, extra={"field": str(self)})
            unopened = _UnopenedText()
            unopened.token = token
            return unopened

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, _UnopenedText):
            return _TEXT_PREFIX + value.token
        text = super().get_prep_value(value)
        return _TEXT_PREFIX + seal(text) if text else text
