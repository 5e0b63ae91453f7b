"""Text as devices hold it: printable ASCII of a fixed length."""


def printable(text: str, size: int, fill: bytes = b"\0") -> bytes:
    """The first `size` characters, filled up; what is not printable ASCII is a question mark."""
    codes = [ord(letter) for letter in text[:size]]
    codes = [code if 32 <= code < 127 else 63 for code in codes]
    return bytes(codes) + fill * (size - len(codes))
