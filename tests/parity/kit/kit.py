"""For scripts that run on a PC and on the board: numbers by chance, and digests of results."""

import hashlib


class Chance:
    """Deterministic numbers below 2**29 from three small generators; no step passes 2**30."""

    def __init__(self, seed):
        self.a = seed % 30268 + 1
        self.b = seed * 7 % 30306 + 1
        self.c = seed * 31 % 30322 + 1

    def next(self):
        self.a = 171 * self.a % 30269
        self.b = 172 * self.b % 30307
        self.c = 170 * self.c % 30323
        return self.a ^ self.b << 7 ^ self.c << 14

    def below(self, limit):
        return self.next() % limit

    def between(self, low, high):
        """Both ends included."""
        return low + self.next() % (high - low + 1)

    def one_of(self, values):
        return values[self.next() % len(values)]

    def maybe(self, value, one_in):
        """The value, but None once in `one_in` times."""
        return None if self.next() % one_in == 0 else value


def text(value):
    """A value in words that are the same on both: no repr, no order of a dict."""
    if value is None:
        return "-"
    if value is True:
        return "T"
    if value is False:
        return "F"
    if isinstance(value, int):
        return "%d" % value
    if isinstance(value, str):
        return "'" + value + "'"
    if isinstance(value, (bytes, bytearray)):
        return "x" + "".join(["%02x" % byte for byte in value])
    if isinstance(value, (tuple, list)):
        return "(" + " ".join([text(item) for item in value]) + ")"
    if isinstance(value, dict):
        return "{" + " ".join([key + "=" + text(value[key]) for key in sorted(value)]) + "}"
    raise TypeError("no words for a " + type(value).__name__)


def fields(thing, names):
    """An object's attributes in a fixed order."""
    return " ".join([name + "=" + text(getattr(thing, name)) for name in names])


def _wanted():
    """Whether a file show.txt in the data folder asks for every line."""
    try:
        open("show.txt").close()
        return True
    except OSError:
        return False


class Digest:
    """SHA-256 over lines; `count` is how many went in."""

    def __init__(self, name):
        self.name = name
        self.count = 0
        self.show = _wanted()
        self.sha = hashlib.sha256()

    def line(self, words):
        self.count += 1
        if self.show:
            print("line", self.name, words)
        self.sha.update(words.encode())
        self.sha.update(b"\n")

    def close(self):
        print("digest", self.name, self.count, "".join(["%02x" % b for b in self.sha.digest()]))
