"""Every error vbms raises on purpose, one base class above them.

A built-in second base (ValueError, OSError) is left out: MicroPython cannot mix two.
"""


class VbmsError(Exception):
    """Something vbms knows how to name."""


class ConfigError(VbmsError):
    """A file asks for the impossible; the user acts, before anything starts."""


class FrameError(VbmsError):
    """Bytes unlike the document; the loop drops, counts and resynchronises."""


class RefusedError(VbmsError):
    """A well-formed no (a Modbus exception, a result code); other requests go on."""

    def __init__(self, text: str, code: int = 0):
        super().__init__(text)
        self.code = code


class SilentError(VbmsError):
    """No reply by the deadline; the loop backs off and the unit ages."""


class LinkError(VbmsError):
    """The port or adapter is gone or cannot be opened; it is tried again with back-off."""
