"""What /api/events says: the edges, newest first."""

from vbms.web.shapes import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.web.site import Site

KEYS = ("id", "at", "kind", "level", "of", "text")


def events_json(site: "Site", most: int) -> str:
    """At most so many: a number that counts on, wall time, what it is about, and a sentence."""
    found = []
    for row in site.events()[:most]:
        parts = ['"%s":%s' % (key, plain(value)) for key, value in zip(KEYS, row)]
        found.append("{" + ",".join(parts) + "}")
    return "[" + ",".join(found) + "]"
