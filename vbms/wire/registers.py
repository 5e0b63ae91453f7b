"""Blocks of registers as the codecs of batteries read by registers ask for them.

A codec has `reads() -> ((every_ms, function, start, count), ...)`, a slot each, in place of
requests and take. Its frames are the registers' bytes, high byte first, without any framing.
"""


class Queue:
    """A slot that has to be asked for: write a wish, wait until ready, read the blocks in turn.

    The write starts a measurement and sets nothing. `marker` is the first register of each block.
    """

    __slots__ = ("blocks", "marker", "ready_at", "ready_value", "write_at", "write_values")

    def __init__(
        self,
        write_at: int,
        write_values: "tuple[int, ...]",
        ready_at: int,
        ready_value: int,
        blocks: int,
        marker: int,
    ):
        self.write_at = write_at
        self.write_values = write_values
        self.ready_at = ready_at
        self.ready_value = ready_value
        self.blocks = blocks
        self.marker = marker
