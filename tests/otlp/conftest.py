import pytest

from core.clients import services
from core.clients.models import ClientApp
from core.lib import ratelimit
from tests.factories import make_app
from tests.otlp.exporting import Exporter


@pytest.fixture(autouse=True)
def no_hits_counted() -> None:
    ratelimit.memory.clear()


@pytest.fixture
def shop(db: None) -> ClientApp:
    return make_app("shop", name="Shop")


@pytest.fixture
def exporter(shop: ClientApp) -> Exporter:
    return Exporter(services.issue_dsn_key(app=shop).public_key)
