"""The line over the real bleak: turns, silence, faults, and what a person is told of them."""

import asyncio
import logging

import pytest
from dbus_fast import Variant

from tests.ble.site import Served, jk_row, quick, until
from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank
from vbms.errors import LinkError
from vbms.lines import ble
from vbms.links.ble_device import BleConnection, Unknown
from vbms.links.ble_found import scan_for_call
from vbms.links.ble_radio import Heard, Radio
from vbms.simulate.bluez import DEVICE
from vbms.simulate.bluez_device import RANDOM, SMALL, WHOLE
from vbms.simulate.bluez_site import Air
from vbms.simulate.jk_ble import JkBle
from vbms.upstream import jk_ble
from vbms.upstream.jk_ble import command

pytestmark = pytest.mark.usefixtures("hasty")

A, B, C = ("C8:47:80:00:00:0%d" % number for number in (1, 2, 3))


async def test_a_jk_by_mac_in_any_case_and_one_by_name(air: Air) -> None:
    one = quick(air, "one", address=A)
    quick(air, "two", address="JK-Garage", pieces=SMALL)
    async with Served([jk_row("one", A.lower()), jk_row("two", "JK-Garage")]) as served:
        await until(lambda: served.are_fresh("one", "two"))
        snap = served.last("one")
        assert isinstance(one.device, JkBle)
        assert snap.serial == one.device.identity.serial
        assert len(snap.cells_mv or ()) == 16 and snap.cell_count == 16
        assert {len(rows) > 0 for rows in served.got.values()} == {True}
        assert served.line.polled["one"].counters["polls"] == 2  # info, settings; then it streams
    assert not one.connected  # a JK holds one client only: it has to be let go


@pytest.mark.parametrize("layout", [24, 4])
async def test_other_layouts(air: Air, layout: int) -> None:
    from vbms.simulate import bluez_site

    made = bluez_site.make_peripheral(air.world, "old", "jk_ble", A, layout=layout)
    air.bluez.add(made)
    air.peripherals["old"] = made
    async with Served([jk_row("old", A)]) as served:
        await until(lambda: "old" in served.got)
        snap = served.last("old")
        assert snap.only_shown == (layout == 4)
        assert len(snap.cells_mv or ()) == 16
        assert (snap.current_ma is None) == (layout == 4)


async def test_noise_any_pieces_and_jbd(air: Air) -> None:
    quick(air, "whole", address=A, pieces=WHOLE, noise=True)
    quick(air, "any", address=B, pieces=RANDOM, noise=True)
    quick(air, "jbd", "jbd", C, pieces=RANDOM)
    rows = [jk_row("whole", A), jk_row("any", B)]
    rows.append(f'name: jbd, profile: jbd, link: air, address: "{C}", poll_s: 0.2, gap_ms: 10')
    async with Served(rows) as served:
        await until(lambda: all(len(served.got.get(n, ())) > 4 for n in ("whole", "any", "jbd")))
        assert served.last("jbd").model == "JBD-SP16S020"
        assert len(served.last("jbd").cells_mv or ()) == 16
        assert served.line.stats["bad_frame"] == 0
        assert served.line.stats["stray_bytes"] > 0


async def test_a_zombie_is_dropped_and_comes_back(
    air: Air, caplog: pytest.LogCaptureFixture
) -> None:
    """Connected, and nothing comes: bleak is content for ever, the line is not."""
    caplog.set_level(logging.INFO)
    dead = quick(air, "dead", address=A)
    quick(air, "well", address=B)
    rows = [jk_row("dead", A, ", stall_s: 5"), jk_row("well", B)]
    async with Served(rows) as served:
        await until(lambda: served.are_fresh("dead", "well"))
        served.line._units["dead"].turn.stall_ms = 700
        links = air.bluez.connects
        dead.radio.add("zombie")
        await until(lambda: air.bluez.connects > links + 1)
        assert served.are_fresh("well", within_s=2)
        await until(lambda: any("silent for" in text for text in caplog.messages))
        dead.radio.clear()
        await until(lambda: served.are_fresh("dead"))
        assert "dead: is heard again" in caplog.messages


async def test_units_take_turns_where_the_adapter_holds_fewer(air: Air) -> None:
    names = [f"jk-{number}" for number in range(5)]
    rows = []
    for name in names:
        quick(air, name)
        rows.append(jk_row(name, air.peripherals[name].address, ", fresh_s: 2, poll_s: 0.5"))
    air.bluez.slots = 3
    most = 0
    async with Served(rows, slots=3) as served:
        await until(lambda: all(name in served.got for name in names))
        for _ in range(100):
            held = sum(each.connected for each in air.peripherals.values())
            most = max(most, held)
            await asyncio.sleep(0.04)
        assert most == 3
        assert served.are_fresh(*names, within_s=6)
        assert all(served.got[name][-1][0] - served.got[name][0][0] > 2 for name in names)


async def test_the_number_of_links_is_found_out(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    """Configured are more than the adapter holds."""
    caplog.set_level(logging.INFO)
    names = [f"jk-{number}" for number in range(4)]
    rows = []
    for name in names:
        quick(air, name)
        rows.append(jk_row(name, air.peripherals[name].address, ", fresh_s: 2, poll_s: 0.5"))
    air.bluez.slots = 2
    async with Served(rows, slots=8) as served:
        await until(lambda: all(name in served.got for name in names), within_s=30)
    assert any("holds 2 links" in text for text in caplog.messages)


async def test_one_that_cannot_be_reached_delays_nobody(
    air: Air, caplog: pytest.LogCaptureFixture
) -> None:
    quick(air, "gone", address=A, radio={"hang"})
    quick(air, "away", address=B, radio={"away"})
    rows = [jk_row("gone", A), jk_row("away", B)]
    names = [f"jk-{number}" for number in range(3)]
    for name in names:
        quick(air, name)
        rows.append(jk_row(name, air.peripherals[name].address))
    async with Served(rows) as served:
        await until(lambda: served.are_fresh(*names), within_s=8)
        for name in names:  # and again, while the others are in trouble for good
            air.bluez.drop(air.peripherals[name])
        took = await until(lambda: served.are_fresh(*names), within_s=10)
        assert took < 10
        await until(lambda: any("gone: cannot be connected" in t for t in caplog.messages), 20)
        await until(lambda: any("away: is not heard" in t for t in caplog.messages), 20)


async def test_a_connection_that_hangs_gives_way(air: Air, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody else waits it has longer."""
    monkeypatch.setattr(ble, "ALONE_MS", 30000)
    quick(air, "gone", address=A, radio={"hang"})
    quick(air, "well", address=B)
    async with Served([jk_row("gone", A), jk_row("well", B)]) as served:
        await until(lambda: served.are_fresh("well"), within_s=10)


async def test_one_that_is_taken_out_while_it_connects(air: Air) -> None:
    one = quick(air, "one", address=A, connect_s=0.3)
    quick(air, "two", address=B)
    async with Served([jk_row("one", A), jk_row("two", B)]) as served:
        await until(lambda: one.attempt is not None)
        served.line.serve([each for each in served.settings.batteries if each.name == "two"])
        await until(lambda: served.are_fresh("two"))
        assert not one.connected and "one" not in served.got


async def test_two_devices_of_one_name(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    first = quick(air, "a", address=A)
    second = quick(air, "b", address=B)
    first.name = second.name = "JK-Twin"
    async with Served([jk_row("twin", "JK-Twin"), jk_row("well", A)]) as served:
        await until(lambda: served.are_fresh("well"))
        await until(lambda: any("two devices call themselves" in t for t in caplog.messages))
        assert "twin" not in served.got
    (text,) = [t for t in caplog.messages if "two devices" in t]
    assert A in text and B in text and "give the MAC" in text


async def test_firmware_that_offers_no_service(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    bare = quick(air, "bare", address=A, radio={"no_service"})
    async with Served([jk_row("bare", A)]) as served:
        await until(lambda: any("does not offer service ffe0" in t for t in caplog.messages))
        assert any("firmware 19" in text for text in caplog.messages)
        bare.radio.clear()
        await until(lambda: served.are_fresh("bare"))


@pytest.mark.parametrize("politely", [True, False])
async def test_the_adapter_is_pulled_out_and_put_back(air: Air, politely: bool) -> None:
    quick(air, "one", address=A)
    async with Served([jk_row("one", A, ", stall_s: 5")]) as served:
        await until(lambda: served.are_fresh("one"))
        served.line._units["one"].turn.stall_ms = 700
        air.bluez.pull(politely=politely)
        await until(lambda: not served.line.is_open)
        air.bluez.plug()
        await until(lambda: served.are_fresh("one"))


async def test_the_bus_dies_and_comes_back(air: Air) -> None:
    quick(air, "one", address=A)
    async with Served([jk_row("one", A)]) as served:
        await until(lambda: served.are_fresh("one"))
        await air.bus.kill()
        await air.bluez.close()
        await until(lambda: not served.line.is_open)
        await air.bus.start()
        await air.bluez.start(air.bus.address)
        await until(lambda: served.are_fresh("one"))


async def test_bluetoothd_starts_anew(air: Air) -> None:
    """bleak does not notice: only silence tells."""
    quick(air, "one", address=A)
    async with Served([jk_row("one", A, ", stall_s: 5")]) as served:
        await until(lambda: served.are_fresh("one"))
        served.line._units["one"].turn.stall_ms = 700
        await air.bluez.close()
        await air.bluez.start(air.bus.address)
        await until(lambda: served.are_fresh("one"))


async def test_a_stuck_adapter_is_switched_off_and_on(
    air: Air, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ble, "RESET_AFTER_MS", 500)
    monkeypatch.setattr(ble, "RESET_TRIES", 2)
    quick(air, "one", address=A)
    air.bluez.stuck = True
    async with Served([jk_row("one", A)]) as served:
        await until(lambda: served.are_fresh("one"), within_s=20)
        assert served.line.resets == 1
    assert any("hci0 is switched off and on" in text for text in caplog.messages)


async def test_nothing_is_written_but_questions(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    one = quick(air, "one", address=A)
    two = quick(air, "two", address=B)
    off = command(0x1D, bytes(4))
    async with Served([jk_row("one", A), jk_row("two", B, ", allow_control: true")]) as served:
        await until(lambda: served.are_fresh("one", "two"))
        with pytest.raises(LinkError, match="allow_control"):
            await served.line.control("one", off)
        await served.line.control("two", off)
        assert isinstance(one.device, JkBle) and isinstance(two.device, JkBle)
        await until(lambda: not two.device.pack.charge_switch)  # type: ignore[union-attr]
        assert one.device.pack.charge_switch and one.device.commands == []
        await until(lambda: served.last("two").charge_ok is False)
    assert any(text.startswith("two: control, aa 55 90 eb 1d") for text in caplog.messages)


async def test_another_battery_at_a_known_address(air: Air) -> None:
    """Device info is asked anew on each connection, and before anything counts."""
    one = quick(air, "one", address=A)
    async with Served([jk_row("one", A)]) as served:
        await until(lambda: served.are_fresh("one"))
        assert isinstance(one.device, JkBle)
        before = served.last("one").serial
        one.device.identity.serial = "99999"
        air.bluez.drop(one)
        count = len(served.got["one"])
        await until(lambda: len(served.got["one"]) > count)
        assert served.got["one"][count][1].serial == "99999" != before


@pytest.mark.parametrize("told_s", [0.0, 0.2])
async def test_one_that_bluez_forgot_meanwhile(air: Air, told_s: float) -> None:
    """It was heard, and is gone when it is to be connected to: nobody's fault, so no back-off.

    bleak asks BlueZ, or has been told by it before.
    """
    quick(air, "one", address=A)
    heard = (await Radio("hci0").scan(0.4))[A]
    air.remove(["one"])
    await asyncio.sleep(told_s)
    connection = BleConnection("one", jk_ble.GATT, [], False)
    with pytest.raises(Unknown):
        await connection.open(heard)
    await connection.end()


async def test_who_was_heard_long_ago_is_not_on_the_air(air: Air) -> None:
    """Phones change their address all day: whoever only scans forgets them too."""
    quick(air, "one", address=A)
    radio = Radio("hci0")
    radio.heard["00:00:00:00:00:09"] = Heard("00:00:00:00:00:09", None, "Phone", heard_s=-100.0)
    rows = await scan_for_call(radio)
    assert isinstance(rows, list) and A in {row["addr"] for row in rows}
    assert "Phone" not in {row["name"] for row in rows}


async def test_who_asks_meanwhile_shares_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    scans = []

    async def scan(self: Radio, seconds: float, enough: object) -> None:
        scans.append(seconds)
        await asyncio.sleep(0.05)

    monkeypatch.setattr(Radio, "_scan", scan)
    radio = Radio("hci0")
    await asyncio.gather(*(radio.scan(1.0) for _ in range(3)))
    await radio.scan(2.0)
    assert scans == [1.0, 2.0]


async def test_a_flood_does_not_fill_the_memory() -> None:
    connection = BleConnection("one", jk_ble.GATT, [], False)
    for number in range(1000):
        connection._on_notify(None, bytearray(b"%03d" % number * 50))
    data = await connection.read(0)
    assert len(data) <= 8192 and data.endswith(b"999")


async def test_who_is_on_the_air(air: Air) -> None:
    """For VBMS.ScanBLE: 16 named devices, one scan for all who ask; busy while connecting."""
    from vbms.simulate.bluez import strangers

    for stranger in strangers(40):
        stranger.name = stranger.name or f"Lamp {stranger.address}"
        air.bluez.add(stranger)
    one = quick(air, "one", address=A)
    one.connect_s = 0.4
    async with Served([jk_row("one", A)]) as served:
        await until(lambda: served.link.radio.connecting)
        assert await scan_for_call(served.link.radio) == "BLE is busy"
        await until(lambda: served.are_fresh("one"))
        answers = await asyncio.gather(*(scan_for_call(served.link.radio) for _ in range(3)))
        for rows in answers:
            assert isinstance(rows, list) and len(rows) == 16
            assert len({row["addr"] for row in rows}) == 16
            assert all(row["name"] for row in rows)


async def test_reload_keeps_who_stays(air: Air) -> None:
    quick(air, "one", address=A)
    two = quick(air, "two", address=B)
    async with Served([jk_row("one", A), jk_row("two", B)]) as served:
        await until(lambda: served.are_fresh("one", "two"))
        links = air.bluez.connects
        served.line.serve(list(served.settings.batteries[:1]))
        await until(lambda: not two.connected)
        served.line.serve(list(served.settings.batteries))
        await until(lambda: two.connected and served.are_fresh("one", "two"))
        assert air.bluez.connects == links + 1


async def test_without_an_adapter_the_line_says_so(
    bus: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
    async with Served([jk_row("one", A)]) as served:
        await until(lambda: any("D-Bus is gone" in text for text in caplog.messages))
        assert not served.line.is_open


async def test_a_link_of_an_earlier_life_is_freed(air: Air) -> None:
    """After a crash BlueZ keeps the link: the unit does not advertise, and nobody would find it."""
    one = quick(air, "one", address=A)
    await Radio("hci0").scan(0.3)
    one.connected = True
    air.bluez.change(one.path, DEVICE, Connected=Variant("b", True))
    async with Served([jk_row("one", A)]) as served:
        await until(lambda: served.are_fresh("one"))


@pytest.mark.parametrize(
    ("more", "fault", "alarm"),
    [
        (', serial: "12345"', "serial", alarms.UNIT_MISMATCH),
        (", cells: 15", "cell_count", alarms.CONFIG),
    ],
)
async def test_who_it_is_and_how_many_cells(air: Air, more: str, fault: str, alarm: int) -> None:
    quick(air, "one", address=A)
    async with Served([jk_row("one", A, more)]) as served:
        await until(lambda: len(served.got.get("one", ())) > 4)
        bank = Bank(served.settings.bank, [each.unit for each in served.settings.batteries])
        for at_s, snap in served.got["one"]:
            assert bank.accept("one", snap, int(at_s * 1000)) == fault
        told = bank.tick(int(at_s * 1000))
        assert [bit for bit, _, _ in told.alarms].count(alarm) == 1
        assert (told.n_fresh, told.charge_limit_ma, told.discharge_limit_ma) == (0, 0, 0)


async def test_a_balancer_is_shown_and_counts_for_nothing(air: Air) -> None:
    from vbms.simulate import bluez_site

    made = bluez_site.make_peripheral(air.world, "old", "jk_ble", A, layout=4)
    air.put("old", made)
    quick(air, "one", address=B)
    async with Served([jk_row("old", A), jk_row("one", B)]) as served:
        await until(lambda: all(len(served.got.get(name, ())) > 3 for name in ("old", "one")))
        bank = Bank(served.settings.bank, [each.unit for each in served.settings.batteries])
        for name, rows in served.got.items():
            for at_s, snap in rows:
                assert bank.accept(name, snap, int(at_s * 1000)) is None
        told = bank.tick(int(at_s * 1000))
        assert (told.n_total, told.n_fresh) == (1, 1)
        assert bank.units["old"].state == "disabled"
        assert len(bank.units["old"].snapshot.cells_mv or ()) == 16  # type: ignore[union-attr]
