"""What /api/relays says: chargers that are switched on and off, and why."""

from vbms.web.shapes import milli, plain, tenth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.web.site import RelayRow, Site

_WHY = {
    "charging": "charging until it is full",
    "resting": "full, resting until %s %%",
    "no_data": "the battery is not heard",
    "not_allowed": "the battery may not take the %s A of the charger",
    "pause": "off for a minute, so that it does not chatter",
    "too_long": "on for %s min without getting full; it waits for a person",
    "hardware": "a battery reports a fault in its hardware, or nothing can be worked out",
    "output": "the relay does not do what it is told",
}


def why_text(row: "RelayRow") -> str:
    """One sentence for a person."""
    text = _WHY.get(row.why, row.why)
    if row.why == "resting":
        text = text % tenth(row.low_permille)
    elif row.why == "not_allowed":
        text = text % milli(row.charger_ma)
    elif row.why == "too_long":
        text = text % (row.timeout_ms // 60000)
    if row.error:
        text += ": " + row.error
    return text


def relays_json(site: "Site") -> str:
    """/api/relays."""
    found = []
    for row in site.relays():
        rows = (
            ("name", plain(row.name)),
            ("of", plain(row.of)),
            ("output", plain(row.output)),
            ("state", plain(row.state)),
            ("on", plain(row.on)),
            ("why", plain(row.why)),
            ("text", plain(why_text(row))),
            ("error", plain(row.error)),
            ("on_s", plain(row.on_ms // 1000)),
            ("timeout_s", plain(row.timeout_ms // 1000)),
            ("charger_a", milli(row.charger_ma)),
            ("charge_below_percent", tenth(row.low_permille)),
        )
        found.append("{" + ",".join(['"%s":%s' % each for each in rows]) + "}")
    return "[" + ",".join(found) + "]"
