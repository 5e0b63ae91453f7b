"""Chains of cell modules: numbering, a module whose answers get lost, one that is dead, none."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.loop.bus import Bus
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import LinkError
from vbms.loops.chain import Chain, ChainPoller
from vbms.simulate.pack_chain import PackChain
from vbms.simulate.world import World
from vbms.upstream.pack_chain import Codec

log = logging.getLogger("test.chain")


class Run:
    """A chain of so many modules, and a profile that may say another number."""

    def __init__(self, modules: int = 14, cells: int = 14, dialect: str = "v1") -> None:
        pack = World(seed=5).add("chain", "pack_chain", max(modules, 1), 100.0, 0.5)
        self.device = PackChain(pack, dialect=dialect)
        if not modules:
            self.device.modules = []
        self.modules = self.device.modules
        self.bus = Bus(9600, self.device)
        self.got: list[tuple[int, Snapshot]] = []
        self.poller = ChainPoller(self.bus, self.bus, self._deliver, log)
        codec = Codec(cells=cells, dialect=dialect)
        self.chain = Chain("chain", codec, 20_000, 500, 2000)
        self.poller.chain = self.chain

    def _deliver(self, key: str, snap: Snapshot) -> None:
        assert key == "chain"
        self.got.append((self.bus.us, snap))

    def run(self, seconds: float) -> Snapshot:
        """For so long; the last Snapshot."""
        self.bus.stop_us = self.bus.us + round(seconds * 1e6)

        async def until_over() -> None:
            with pytest.raises(LinkError):
                await self.poller.run()

        asyncio.run(until_over())
        return self.got[-1][1] if self.got else Snapshot()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno == logging.WARNING]


@pytest.mark.parametrize("dialect", ["v1", "v2"])
def test_all_modules_are_found_and_read(dialect: str, caplog) -> None:
    run = Run(dialect=dialect)
    snap = run.run(30)
    reading = run.device.reading()
    assert [module.address for module in run.modules] == list(range(1, 15))
    assert snap.cells_mv == tuple(round(volts * 1000) for volts in reading.cells_v)
    assert snap.voltage_mv == sum(snap.cells_mv)
    if dialect == "v1":
        assert snap.temps_mc and len(snap.temps_mc) == 14
    else:
        assert snap.temps_mc is None
    assert snap.current_ma is None and snap.soc_permille is None and snap.charge_ok is None
    assert len(run.got) >= 8
    assert run.chain.round_ms < 4500
    assert warnings(caplog) == []


def test_a_module_whose_answers_get_lost_is_alone_unknown(caplog) -> None:
    run = Run()
    run.run(10)
    run.modules[4].mute = True
    before = len(run.got)
    snap = run.run(40)
    assert len(run.got) > before + 8  # nobody waits for it
    assert snap.cells_mv is not None
    assert [at for at, cell in enumerate(snap.cells_mv) if cell is None] == [4]
    assert snap.voltage_mv is None
    assert warnings(caplog) == ["chain: no answer from module 5"]
    run.modules[4].mute = False
    snap = run.run(20)
    assert snap.cells_mv is not None and None not in snap.cells_mv


def test_one_lost_packet_costs_nothing() -> None:
    run = Run()
    run.run(10)
    run.modules[4].mute = True
    run.bus.plans = [(run.bus.us + 1_500_000, lambda: setattr(run.modules[4], "mute", False))]
    before = len(run.got)
    run.run(20)
    for _, snap in run.got[before:]:
        assert snap.cells_mv is not None and None not in snap.cells_mv


def test_a_dead_module_cuts_the_chain_and_that_is_one_alert(caplog) -> None:
    caplog.set_level(logging.INFO)
    run = Run()
    cut_us = run.bus.us + 20_000_000
    run.bus.plans = [
        (cut_us, lambda: setattr(run.modules[6], "dead", True)),
        (cut_us + 60_000_000, lambda: setattr(run.modules[6], "dead", False)),
    ]
    run.run(130)
    silent = [at for at, _ in run.got if cut_us + 4_000_000 < at < cut_us + 60_000_000]
    assert silent == []
    written = [at for at, _ in run.bus.written if cut_us + 10_000_000 < at < cut_us + 60_000_000]
    assert 2 <= len(written) <= 15  # it is tried again, ever more rarely
    back = [at for at, _ in run.got if at > cut_us + 60_000_000]
    assert back and back[0] < cut_us + 95_000_000
    assert [each.message for each in caplog.records] == [
        "chain: chain broken, or no module there: nothing comes back",
        "chain: all 14 modules answer",
    ]


def test_no_module_is_a_clear_word_and_patience(caplog) -> None:
    run = Run(modules=0)
    run.run(100)
    assert run.got == []
    assert warnings(caplog) == ["chain: no module: the request came back as it went"]
    assert 4 <= len(run.bus.written) <= 8


def test_modules_that_start_anew_are_numbered_anew() -> None:
    run = Run()
    run.run(10)
    for module in run.modules[3:]:
        module.address = 0
    before = len(run.got)
    snap = run.run(20)
    assert [module.address for module in run.modules] == list(range(1, 15))
    assert snap.cells_mv is not None and None not in snap.cells_mv
    assert len(run.got) > before + 3


@pytest.mark.parametrize(("modules", "cells"), [(13, 14), (14, 12)])
def test_another_number_of_modules_is_shown_as_it_is(modules: int, cells: int, caplog) -> None:
    run = Run(modules, cells)
    snap = run.run(20)
    assert snap.cells_mv is not None and len(snap.cells_mv) == modules
    assert warnings(caplog) == [f"chain: {modules} modules, where its profile says {cells}"]


@pytest.mark.parametrize("fault", ["flip", "cut", "half_frame"])
def test_damaged_packets_give_no_values(fault: str) -> None:
    run = Run()
    run.run(10)
    true = {round(volts * 1000) for volts in run.device.reading().cells_v}
    run.device.faults.add(fault)
    run.run(40)
    run.device.faults.clear()
    snap = run.run(60)
    for _, each in run.got:
        assert {cell for cell in each.cells_mv or () if cell is not None} <= true
    assert snap.cells_mv is not None and None not in snap.cells_mv
