"""A simulated adapter on a private bus, quick: what a radio takes seconds for takes milliseconds."""

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import missing
from vbms.lines import ble, ble_turns
from vbms.links import ble_found
from vbms.simulate.bluez_site import Air
from vbms.simulate.world import World


@pytest.fixture
def bus() -> None:
    if shutil.which("dbus-daemon") is None:
        missing("dbus-daemon is missing", "apt-get install dbus")


@pytest_asyncio.fixture
async def air(bus: None) -> AsyncIterator[Air]:
    """Empty but for three strangers."""
    made = Air(World(7), advertisers=3)
    made.bluez.advertise_s = 0.05
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line's own times, a tenth of what they are in a house."""
    for module, values in (
        (ble, {"CONNECT_MS": 500, "ALONE_MS": 900, "SETTLE_MS": 200, "SCAN_S": 0.6}),
        (ble_turns, {"VISIT_MS": 400, "FIRST_MS": 1500, "LONGEST_MS": 1000}),
        (ble_found, {"SCAN_S": 0.6}),
    ):
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
