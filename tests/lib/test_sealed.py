import pytest
from pytest_django import Settings

from core.lib import sealed


def test_a_sealed_text_can_be_opened_but_not_read() -> None:
    kept = sealed.seal("ann@example.org")

    assert "ann" not in kept
    assert sealed.unseal(kept) == "ann@example.org"


def test_a_text_sealed_before_the_key_was_rotated_can_be_opened(settings: Settings) -> None:
    kept = sealed.seal("text")

    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is as long as a real one"
    assert sealed.unseal(kept) == "text"

    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(sealed.CannotOpen):
        sealed.unseal(kept)
