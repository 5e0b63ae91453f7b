"""`vbms demo`: everything simulated, with the inverter's battery page in this terminal."""

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from vbms.commands.loading import load_or_exit
from vbms.commands.numbers import Real
from vbms.simulate import faults
from vbms.simulate.can_checks import STYLES
from vbms.simulate.deye_checks import EMPTY

_HEAD = """\
site: {name: demo}
links:
  byd: {kind: simulate, baud: 9600}
  jk: {kind: simulate, baud: 115200}
  inv: {kind: simulate}
inverters:
  - {name: inverter, profile: %s, link: inv, present: bank}
batteries:
"""
_DEYE = "deye_rs485"
_ASKERS = (_DEYE, "pylontech_rs485", "pylontech_rs485_voltronic")


def configuration(units: int, fault: str | None, inverter: str = _DEYE, bluetooth: int = 0) -> str:
    """A demo site of so many units, BYD and JK in turns of three and two, and over Bluetooth."""
    rows = []
    names = []
    for at in range(units):
        is_jk = at % 5 > 2
        before = sum(1 for k in range(at) if (k % 5 > 2) == is_jk)
        name = f"{'jk' if is_jk else 'byd'}-{before + 1}"
        names.append(name)
        if is_jk:
            rows.append(f"  - {{name: {name}, profile: jk_pb, link: jk, address: {before + 1}}}")
        else:
            rows.append(
                f"  - {{name: {name}, profile: byd_pro_2_5, link: byd, address: {before + 1}}}"
            )
    text = _HEAD % inverter + "\n".join(rows) + "\n"
    if units < 4:
        text = text.replace("  jk: {kind: simulate, baud: 115200}\n", "")
    for at in range(bluetooth):
        profile = "jbd" if at % 2 else "jk_ble"
        where = f'link: air, address: "C8:47:80:00:00:{at + 1:02X}"'
        text += f"  - {{name: air-{at + 1}, profile: {profile}, {where}}}\n"
    if bluetooth:
        text = text.replace("links:\n", "links:\n  air: {kind: simulate}\n")
    if fault is not None:
        text += "simulate:\n  faults:\n"
        text += f"    - {{unit: {names[0]}, fault: {fault}, at_s: 10, for_s: 60}}\n"
    return text


@click.command()
@click.option(
    "--units", type=click.IntRange(1, 15), default=5, show_default=True, help="Simulated batteries."
)
@click.option(
    "--fault",
    type=click.Choice(faults.NAMES),
    help="What goes wrong with the first unit, from 10 s on for 60 s.",
)
@click.option(
    "--inverter",
    type=click.Choice([*_ASKERS, *STYLES]),
    default=_DEYE,
    show_default=True,
    help="Which inverter is simulated, by its profile.",
)
@click.option(
    "--bluetooth",
    type=click.IntRange(0, 8),
    default=2,
    show_default=True,
    help="More batteries, over simulated Bluetooth.",
)
@click.option("--seconds", type=Real(0), default=0, help="Stop after so long.  [default: never]")
@click.pass_context
def command(
    ctx: click.Context,
    units: int,
    fault: str | None,
    inverter: str,
    bluetooth: int,
    seconds: float,
) -> None:
    """Simulated batteries, a real merge, and a simulated inverter: a DEYE unless told otherwise."""
    import tempfile

    from vbms.commands.simulate_ble import can_be_played

    missing = can_be_played() if bluetooth else None
    if missing is not None:
        click.echo(f"without Bluetooth units: they need {missing}", err=True)
        bluetooth = 0
    with tempfile.TemporaryDirectory(prefix="vbms-demo-") as folder:
        path = Path(folder) / "vbms.yaml"
        path.write_text(configuration(units, fault, inverter, bluetooth), encoding="utf-8")
        settings = load_or_exit(path)
        with contextlib.suppress(KeyboardInterrupt):
            sys.exit(asyncio.run(_demo(path, settings, seconds)))


async def _demo(path: Path, settings: object, seconds: float) -> int:
    from vbms.app import Site
    from vbms.config import Settings
    from vbms.service import serve

    assert isinstance(settings, Settings)
    screens: list[asyncio.Task[None]] = []

    def ready(site: Site) -> None:
        screens.append(asyncio.create_task(_screen(site, seconds), name="screen"))

    try:
        return await serve(path, settings, ready)
    finally:
        for screen in screens:
            screen.cancel()


async def _screen(site: object, seconds: float) -> None:
    """Plug an inverter in, and show its page each second."""
    from vbms.aggregate.limits import CHARGE, DISCHARGE
    from vbms.app import Site
    from vbms.journal import NAMES
    from vbms.simulate import can_inverter, deye, pylontech
    from vbms.web.shapes import reason_text

    assert isinstance(site, Site)
    (line,) = site.inverters.values()
    assert line.path is not None
    world = site.simulation.world
    inverter: deye.Deye | can_inverter.CanInverter | pylontech.Pylontech
    columns: tuple[str, ...]
    if line.settings.profile_name in STYLES:
        kind = line.settings.profile_name
        inverter = can_inverter.CanInverter(kind, port=line.path, world=world)
        columns, title = can_inverter.COLUMNS, f"{STYLES[kind].title}: battery"
    elif line.settings.protocol == "pylontech_rs485":
        style = "voltronic" if "voltronic" in line.settings.profile_name else "system"
        inverter = pylontech.Pylontech(line.path, profile=style, world=world)
        columns, title = pylontech.COLUMNS, f"Pylontech RS485, {style}"
    else:
        inverter = deye.Deye(line.path, world=world)
        columns, title = deye.COLUMNS, "DEYE Li-BMS page"
    polling = asyncio.create_task(inverter.run(), name="inverter")
    live = sys.stdout.isatty()
    log = _Tail(9) if live else None
    if log is not None:
        root = logging.getLogger()
        log.setFormatter(root.handlers[0].formatter)
        root.handlers = [log]
    shown_s = 0.0
    try:
        while not polling.done():
            await asyncio.sleep(1)
            shown_s += 1
            bank = site.view.bank()
            table = inverter.table()
            text = ["", inverter.summary(), ""]
            for direction, limit, reasons in (
                (CHARGE, bank.charge_limit_ma, bank.charge_reasons),
                (DISCHARGE, bank.discharge_limit_ma, bank.discharge_reasons),
            ):
                if reasons:
                    why = reason_text(reasons[0], direction)
                    text.append(f"{NAMES[direction]:>9} limit {limit / 1000:7.1f} A   {why}")
            for row in site.view.units():
                age = "-" if row.age_ms is None else f"{row.age_ms / 1000:.0f} s"
                text.append(f"{row.name:>9} {row.state:<9} {age:>6}")
            head = [title + " " * 8 + site.view.state, ""]
            if log is not None:
                size = shutil.get_terminal_size()
                lines = fitted(head, [columns, *table], text, log.lines, size)
                sys.stdout.write("\x1b[H\x1b[J" + "\n".join(lines) + "\n")
            elif shown_s % 5 == 0:
                lines = [*head, *_aligned([columns, *table]), *text]
                sys.stdout.write("\n".join(lines) + "\n\n")
            sys.stdout.flush()
            if seconds and shown_s >= seconds:
                site.stop()
    finally:
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await polling


def fitted(
    head: list[str],
    rows: list[tuple[str, ...]],
    text: list[str],
    log: list[str],
    size: os.terminal_size,
) -> list[str]:
    """What a terminal of this size can show without scrolling: addresses that answer nothing go
    first, then the log's older lines, then its end."""
    if len(head) + len(rows) + len(text) > size.lines - 2:
        rows = [row for row in rows if row[1:] != EMPTY]
    lines = [*head, *_aligned(rows), *text, ""]
    room = max(size.lines - 1 - len(lines), 0)
    lines += log[len(log) - min(room, len(log)) :]
    return [line[: size.columns] for line in lines[: size.lines - 1]]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]


class _Tail(logging.Handler):
    """The last lines of the log, for under the table."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines = [*self.lines, self.format(record).splitlines()[0]][-self._most :]
