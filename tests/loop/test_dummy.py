"""A dummy battery: from YAML to the bank without a wire, and loud about what it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from vbms.app import Site
from vbms.config import load_text

YAML = """
links: {{nowhere: {{kind: dummy}}, inv: {{kind: {inverter}}}}}
batteries:
  - {{name: d-1, profile: dummy, link: nowhere, poll_s: 0.1, soc_percent: 70, current_a: 12.5}}
  - {{name: d-2, profile: dummy, link: nowhere, poll_s: 0.1, cells: 15, cell_v: 3.25}}
inverters: [{{name: deye, profile: deye_rs485, link: inv}}]
bank: {{steady_s: 0, start_s: 5}}
state_dir: {state}
"""


async def test_two_of_them_make_a_bank(tmp_path: Path) -> None:
    settings = load_text(YAML.format(inverter="simulate", state=tmp_path), Path("vbms.yaml"))
    assert not settings.warnings
    site = Site(settings)
    await site.start()
    try:
        async with asyncio.timeout(20):
            while site.virtual.n_fresh < 2:
                await asyncio.sleep(0.05)
        first, second = (site.bank.units[name].snapshot for name in ("d-1", "d-2"))
        assert first and second
        assert first.model == second.model == "DUMMY" and first.serial == "DUMMY"
        assert (first.current_ma, first.soc_permille) == (12500, 700)
        assert second.cells_mv and len(second.cells_mv) == 15
        assert 15 * 3249 <= (second.voltage_mv or 0) <= 15 * 3251
        assert site.virtual.current_ma == 12500
    finally:
        await site.close()


def test_beside_a_real_inverter_it_is_warned_of(tmp_path: Path) -> None:
    real = "serial, port: /dev/serial/by-id/not-here"
    settings = load_text(YAML.format(inverter=real, state=tmp_path), Path("vbms.yaml"))
    assert len(settings.warnings) == 2
    assert "is no battery, and deye is told that it is one" in str(settings.warnings[0])
