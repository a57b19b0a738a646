"""An instance to use git in."""

import pytest

from tests.inside import Inside
from tests.shop import Shop


@pytest.fixture
def auth(shop: Shop) -> Inside:
    """The instance `auth`, up and with nothing committed."""
    shop.up("auth")
    return Inside(shop)
