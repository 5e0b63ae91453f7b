"""The whole figure, for a machine that has five minutes: VBMS_SLOW=1."""

import os

import pytest

from tests.ble import measure


@pytest.mark.timeout(900)
@pytest.mark.skipif(os.environ.get("VBMS_SLOW") != "1", reason="five minutes long: VBMS_SLOW=1")
def test_ten_units_on_eight_links(bus: None) -> None:
    assert measure.main() == 0
