"""What the registers of an INA3221 say: each with its number, three bytes each, or six values."""

from vbms.commands.decoding import Reading, Values, snapshot_values
from vbms.errors import FrameError
from vbms.upstream import ina3221

_WORDS = 12  # bytes of the six registers 01 to 06 alone
_IDENTITY = 3 * len(ina3221.IDENTITY)


def read(data: bytes) -> Reading:
    """With shunts of 100 mOhm and channel 1 the lowest tap. Raises FrameError."""
    if len(data) == _WORDS:
        rows = [bytes((n + 1,)) + data[2 * n : 2 * n + 2] for n in range(6)]
        data = b"".join(rows)
    codec = ina3221.Codec()
    slots: list[bytes | None] = [None, None]
    rest = data
    while rest:
        if rest[0] == ina3221.IDENTITY[0]:
            size, slot = _IDENTITY, 1
        elif rest[0] == ina3221.LIVE[0]:
            size, slot = 3 * len(ina3221.LIVE), 0
        else:
            raise FrameError("marker: register %02x, not 01 or fe" % rest[0])
        if len(rest) < size:
            raise FrameError("truncated: %d of %d bytes" % (len(rest), size))
        if codec.slot(rest[:size]) != slot:
            raise FrameError("payload: registers out of order, or with bits that none has")
        slots[slot] = rest[:size]
        rest = rest[size:]
    live, identity = slots
    if live is None and identity is None:
        raise FrameError("truncated: no register at all")
    if identity is not None:
        ina3221.check_identity(identity)
    if live is None:
        return {"manufacturer_id": ina3221.MANUFACTURER, "die_id": ina3221.DIE}, None
    found: Values = snapshot_values(codec.decode(slots, 0))
    raws = [live[at + 1] << 8 | live[at + 2] for at in range(0, len(live), 3)]
    found["taps_mv"] = [ina3221.signed(raw) for raw in raws[1::2]]
    found["shunts_uv"] = [ina3221.signed(raw) * 5 for raw in raws[::2]]
    found["currents_ma"] = [ina3221.current_ma(raw, 100_000) for raw in raws[::2]]
    return found, None
