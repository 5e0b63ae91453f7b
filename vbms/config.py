"""YAML in, checked settings out: `load(path)` gives Settings or raises ConfigErrors with it all.

The work is in vbms/settings/: text (YAML with lines and secrets), values and keys (one key, one
value), checked (pydantic), profiles, rules (what must agree), loader (all of it), shapes (what
comes out), schema (for editors). YAML and pydantic are imported when something is loaded.
"""

from pathlib import Path

from vbms.settings.problems import ConfigErrors, Problem
from vbms.settings.shapes import (
    BatterySettings,
    FaultSettings,
    HistorySettings,
    InverterSettings,
    LinkSettings,
    MqttSettings,
    RelaySettings,
    Settings,
    SimulateSettings,
    Timing,
    WebSettings,
)

__all__ = [
    "BatterySettings",
    "ConfigErrors",
    "FaultSettings",
    "HistorySettings",
    "InverterSettings",
    "LinkSettings",
    "MqttSettings",
    "Problem",
    "RelaySettings",
    "Settings",
    "SimulateSettings",
    "Timing",
    "WebSettings",
    "bank_overrides",
    "load",
    "load_text",
    "schema",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.profile import BankProfile


def load(path: str | Path) -> Settings:
    """Read, check and build. Raises ConfigErrors that hold every problem; opens no port."""
    from vbms.settings.loader import Loader

    return Loader(Path(path)).from_file()


def load_text(text: str, path: str | Path = "vbms.yaml") -> Settings:
    """The same for text that is no file; profiles and secrets are looked for beside `path`."""
    from vbms.settings.loader import Loader

    return Loader(Path(path)).from_text(text)


def bank_overrides(bank: object) -> "tuple[BankProfile, dict[str, object]]":
    """A `bank:` group as data (decimals best as Decimal): the bank, and values for UnitProfile.

    Takes what `bank:` takes in vbms.yaml and any number of a battery profile.
    """
    from vbms.settings.loader import overrides

    return overrides(bank)


def schema() -> dict[str, object]:
    """JSON Schema of vbms.yaml, for editors."""
    from vbms.settings import keys
    from vbms.settings.drivers import Rows
    from vbms.settings.schema import json_schema

    rows = Rows()
    return json_schema(rows.in_place(keys.BATTERY, None), rows.in_place(keys.INVERTER, None))
