"""`vbms selftest`: two RS485 ports wired together, each has to hear the other."""

import asyncio
import json
import os
import sys
import time
from typing import Any

import click

from vbms.errors import LinkError, VbmsError
from vbms.links.serial_line import SerialLine

# What a BMS is asked, and what the other port says to that. Neither means anything to an inverter
# or to a battery's settings, should one be on the line after all.
REQUEST = bytes.fromhex("000004010355aa07")
ANSWER = bytes.fromhex("bec0011122334455667788")
_LISTEN_MS = 300
_WAIT_MS = 150  # beyond the bytes' own time
_TURN_US = 4000


@click.command()
@click.option("--bms", required=True, metavar="PORT", help="The port meant for the batteries.")
@click.option("--inv", required=True, metavar="PORT", help="The port meant for the inverter.")
@click.option("--baud", type=click.IntRange(1200, 1_000_000), default=9600, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 10_000), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
def command(bms: str, inv: str, baud: int, rounds: int, as_json: bool) -> None:
    """Test two RS485 adapters: wire A to A and B to B, nothing else on the line.

    The batteries' port asks, the inverter's answers, and both must hear every byte. Says which side
    failed, exit code 1. Nothing is sent where somebody else speaks.
    """
    if os.path.realpath(bms) == os.path.realpath(inv):
        raise click.UsageError(f"{bms} and {inv} are one port: two adapters are needed")
    try:
        found = asyncio.run(_test(bms, inv, baud, rounds))
    except VbmsError as error:
        found = {"ok": False, "rounds": 0, "good": 0, "text": str(error)}
    if as_json:
        click.echo(json.dumps({"bms": bms, "inv": inv, "baud": baud, **found}))
    else:
        click.echo(("OK: " if found["ok"] else "FAILED: ") + found["text"])
    sys.exit(0 if found["ok"] else 1)


async def _test(bms: str, inv: str, baud: int, rounds: int) -> dict[str, Any]:
    ours, theirs = SerialLine("bms", bms, baud), SerialLine("inv", inv, baud)
    try:
        await ours.open()
        await theirs.open()
        for line, port in ((ours, bms), (theirs, inv)):
            if stray := (await line.read(_LISTEN_MS)).strip(b"\x00"):
                raise LinkError(
                    f"{len(stray)} bytes at {port} before anything was sent: take batteries and "
                    "inverter off the line, and stop the other program"
                )
        good = 0
        longest_ms = 0.0
        for number in range(1, rounds + 1):
            began = time.monotonic()
            wrong = await _round(ours, theirs)
            if wrong is not None:
                text = f"{wrong} (round {number} of {rounds})"
                return {"ok": False, "rounds": number, "good": good, "text": text}
            good += 1
            longest_ms = max(longest_ms, (time.monotonic() - began) * 1000)
        text = f"{rounds} rounds at {baud} baud, both ports hear each other"
        text += f", {longest_ms:.0f} ms the longest"
        return {"ok": True, "rounds": rounds, "good": good, "text": text, "longest_ms": longest_ms}
    finally:
        ours.close()
        theirs.close()


async def _round(ours: SerialLine, theirs: SerialLine) -> str | None:
    """None: well. Else which side failed, found by trying the other direction as well."""
    there = await _leg(ours, theirs, REQUEST)
    await asyncio.sleep((_TURN_US + 4 * ours.byte_us) / 1_000_000)
    back = await _leg(theirs, ours, ANSWER)
    if there is None and back is None:
        return None
    bms, inv = ours.port, theirs.port
    if there == "nothing" and back == "nothing":
        return (
            f"neither {bms} nor {inv} hears the other: is the pair cut, or are A and B swapped at "
            "one end?"
        )
    if there is not None and back is not None:
        return f"bytes arrive damaged both ways ({there}): A and B swapped, GND, another speed?"
    if there is not None:
        return (
            f"{inv} hears {there} of what {bms} sends, though {bms} hears {inv}: "
            f"the driver of {bms} or the receiver of {inv}"
        )
    return (
        f"{bms} hears {back} of what {inv} answers, though {inv} hears {bms}: "
        f"the driver of {inv} or the receiver of {bms}"
    )


async def _leg(source: SerialLine, target: SerialLine, data: bytes) -> str | None:
    """None: every byte arrived. Else what did, in words."""
    await source.read(0)
    await target.read(0)
    await source.write(data)
    heard = b""
    wait_ms = _WAIT_MS + len(data) * source.byte_us // 1000
    while len(heard) < len(data) and (chunk := await target.read(wait_ms)):
        heard += chunk
    await source.read(0)  # an adapter that echoes
    if heard == data:
        return None
    if not heard.strip(b"\x00"):
        return "nothing"
    same = sum(one == other for one, other in zip(heard, data))
    return f"{len(heard)} bytes, {same} of {len(data)} right,"
