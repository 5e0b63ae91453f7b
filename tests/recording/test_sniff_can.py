"""`vbms sniff` on a CAN bus: a battery tells an inverter, and nobody is answered or acknowledged."""

import asyncio
import os
from pathlib import Path

from click.testing import CliRunner

from vbms import recording
from vbms.__main__ import main
from vbms.links.can_bus import from_bytes
from vbms.simulate.can_wire import CanFrame, CanLine


class Other:
    """Somebody who acknowledges: a listener does not."""

    def hear(self, frame: CanFrame) -> None:
        pass

    def listens(self, bitrate: int) -> bool:
        return True


async def test_frames_are_shown_and_recorded(tmp_path: Path) -> None:
    bus = CanLine(far=True)
    await bus.start()
    bus.wire.nodes.append(Other())
    (tmp_path / "vbms.yaml").write_text(
        f"links: {{bus: {{kind: can, interface: slcan, channel: {bus.path}, bitrate: 500000}},"
        " byd: {kind: simulate}}\n"
        "batteries: [{name: byd-1, profile: byd_pro_2_5, link: byd, address: 1}]\n"
        "inverters: [{name: deye, profile: deye_can, link: bus}]\n"
    )
    file = tmp_path / "bus.jsonl"
    words = ["-c", str(tmp_path / "vbms.yaml"), "sniff", "bus", "--seconds", "1.5"]
    sniffing = asyncio.create_task(
        asyncio.to_thread(CliRunner().invoke, main, [*words, "--record", str(file)])
    )
    far = os.open(bus.far_path or "", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    os.write(far, b"S6\rO\r")
    listened_only = set()
    for _ in range(60):
        await asyncio.sleep(0.1)
        os.write(far, b"t35182802E803DC05CC01\rT000042105" + b"\rt30500\r")
        if sniffing.done():
            break
        listened_only.add(bus.adapters[0].listens_only)
    done = await sniffing
    os.close(far)
    bus_taken = bus.adapters[0].taken
    bus.close()
    assert done.exit_code == 0, done.output
    (row, *_) = [row for row in done.output.splitlines() if "351#2802E803DC05CC01" in row]
    assert "cvl_mv 55200, charge_limit_ma 100000" in row
    frames = [from_bytes(data) for _, sent, data in recording.read(file).events if not sent]
    assert (0x351, bytes.fromhex("2802E803DC05CC01"), False) in frames
    assert True in listened_only and bus_taken == 0
    assert not any(sent for _, sent, _ in recording.read(file).events)
