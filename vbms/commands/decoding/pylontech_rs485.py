"""A Pylontech RS485 frame by name: a request, an answer, or one behind the other."""

from vbms.commands.decoding import Reading
from vbms.downstream.pylontech_rs485 import Codec
from vbms.errors import RefusedError


def read(data: bytes) -> Reading:
    """What a frame says, or a request and its answer; a return code as a refusal in words."""
    data = data.replace(b"\\r", b"\r")  # as a shell and the vectors write it
    for ending in (b"\r\n", b"\n"):  # as a text file does
        if data.endswith(ending):
            data = data[: -len(ending)].rstrip(b"\r") + b"\r"
    try:
        return Codec().read(data), None
    except RefusedError as error:
        return {"address": int(data[-15:-13], 16), "return_code": error.code}, str(error)
