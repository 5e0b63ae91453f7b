"""The public python-pylontech package reads vbms over a pty, unmodified: a reader of its own.

It waits for a line feed that no battery sends, so each of its calls would cost its own time-out: it
is set shorter here, as any user of the package can.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tty

import pytest

from tests.downstream.modules import CELLS, TEMPS, group, module
from vbms.clock import MonotonicClock
from vbms.downstream.pylontech_rs485 import Codec
from vbms.links.serial_line import SerialLine
from vbms.loops.responder import Responder

pylontech = pytest.importorskip("pylontech")


@pytest.mark.parametrize("baud", [9600, 115200])
async def test_python_pylontech_reads_us(baud: int) -> None:
    near, near_port = os.openpty()
    far, far_port = os.openpty()
    for fd in (near, far):
        tty.setraw(fd)
    line = SerialLine("inv", os.ttyname(near_port), baud)
    await line.open()
    master, third = Codec(), Codec(address=3)
    responder = Responder(
        line, MonotonicClock(), [master, third], 2000, logging.getLogger("test.responder")
    )
    first = module(current_ma=-3200, capacity_mah=74000, remaining_mah=48100, serial="PPTBH0240A")
    second = module(cells=(3333,) * 15, capacity_mah=50000, remaining_mah=30000, current_ma=25000)
    responder.publish([(master, group(first, second)), (third, second)])
    task = asyncio.create_task(responder.run())
    loop = asyncio.get_running_loop()
    loop.add_reader(near, lambda: os.write(far, os.read(near, 4096)))
    loop.add_reader(far, lambda: os.write(near, os.read(far, 4096)))

    def read() -> None:
        reader = pylontech.Pylontech(os.ttyname(far_port), baud)
        reader.s.timeout = 0.3
        try:
            assert reader.scan_for_batteries(1, 5) == {
                2: "PPTBH0240A\0\0\0\0\0\0",
                3: "VB00000000000002",
            }
            every = reader.get_values()
            assert every.NumberOfModules == 2
            assert [each.Current for each in every.Module] == [-3.2, 25.0]
            assert [round(each * 1000) for each in every.Module[0].CellVoltages] == list(CELLS)
            temps = every.Module[0].GroupedCellsTemperatures
            assert [round(each * 1000) for each in temps] == list(TEMPS)
            assert every.Module[0].AverageBMSTemperature == 27.5
            assert (every.Module[0].RemainingCapacity, every.Module[0].TotalCapacity) == (48.1, 74)
            assert (every.Module[1].RemainingCapacity, every.Module[1].TotalCapacity) == (30, 50)
            assert every.Module[0].CycleNumber == 37
            assert abs(every.StateOfCharge - 78.1 / 124) < 1e-9
            one = reader.get_values_single(3)
            assert (one.NumberOfModule, one.NumberOfCells, one.Voltage) == (3, 15, 53.12)
            limits = reader.get_management_info(2)
            assert limits.ChargeVoltageLimit == 55.2
            assert limits.DischargeVoltageLimit == 46.0
            assert (limits.ChargeCurrentLimit, limits.DischargeCurrentLimit) == (50.0, -75.0)
            assert limits.status.ChargeEnable and limits.status.DischargeEnable
            assert not limits.status.ShouldCharge
            for number in (None, 3):  # it sends a number that the document does not know
                bounds = reader.get_system_parameters(number)
                assert bounds.CellHighVoltageLimit == 3.5
                assert bounds.DischargeCurrentLimit == -75.0
                assert bounds.ChargeHighTemperatureLimit == 55.0
            # Address 00 stays unanswered, as on real batteries.
            with pytest.raises(Exception):  # noqa: B017
                reader.get_protocol_version()
        finally:
            reader.s.close()

    try:
        await asyncio.to_thread(read)
    finally:
        for fd in (near, far):
            loop.remove_reader(fd)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.close()
        for fd in (near, far, near_port, far_port):
            os.close(fd)
