"""JSON objects as small devices write them: one level of names with whole numbers and texts.

A strict reader that gives the same on every interpreter: no floats (a float is no milli-unit), no
recursion, ASCII alone (`\\u` says the rest). What a name holds beside that, such as a list of
objects, is looked over and given as SKIPPED, so that a message may say more than is understood.

Values: int, True, False, None, text, a list of ints and None, an object of names and ints.
"""

from vbms.errors import FrameError

SKIPPED = ()  # a value that is well-formed, and none of the above

_SPACE = " \t\r\n"
_DIGITS = "0123456789"
_NUMBER = "+-.eE0123456789"
_WORDS = (("true", True), ("false", False), ("null", None))
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_DEEPEST = 16
_LONGEST = 30  # characters of a number


def read_object(data: bytes) -> "dict[str, object]":
    """The object that `data` is. Raises FrameError for anything else."""
    for byte in data:
        if byte > 127:
            raise FrameError("marker: byte %02x, only ASCII is JSON here" % byte)
    reader = _Reader(str(data, "utf-8"))
    found = reader.group(True)
    if reader.at < len(reader.text):
        raise FrameError("length: %d bytes left over behind the object" % (len(data) - reader.at))
    return found


class _Reader:
    """A text and how far it has been read."""

    def __init__(self, text: str):
        self.text = text
        self.at = 0

    def _peek(self) -> str:
        text = self.text
        while self.at < len(text) and text[self.at] in _SPACE:
            self.at += 1
        if self.at >= len(text):
            raise FrameError("truncated: the object does not end")
        return text[self.at]

    def _expect(self, mark: str) -> None:
        found = self._peek()
        if found != mark:
            raise FrameError("marker: %s at %d, not %s" % (repr(found), self.at, mark))
        self.at += 1

    def _after(self, end: str) -> bool:
        """Behind a value: True at the end, False when a comma says that more comes."""
        if self._peek() == end:
            self.at += 1
            return True
        self._expect(",")
        return False

    def group(self, outer: bool) -> "dict[str, object]":
        self._expect("{")
        found: dict[str, object] = {}
        if self._peek() == "}":
            self.at += 1
        else:
            while True:
                name = self._text()
                self._expect(":")
                found[name] = self._value(outer)
                if self._after("}"):
                    break
        if outer:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
        return found

    def _value(self, outer: bool) -> object:
        mark = self._peek()
        if mark == '"':
            return self._text()
        if outer and mark in "[{":
            start = self.at
            flat = self._skip()
            if not flat:
                return SKIPPED
            self.at = start
            return self._list() if mark == "[" else self.group(False)
        if mark in _NUMBER:
            return self._number()
        for word, meaning in _WORDS:
            if self.text[self.at : self.at + len(word)] == word:
                self.at += len(word)
                return meaning
        raise FrameError("marker: %s at %d begins no value" % (repr(mark), self.at))

    def _list(self) -> object:
        self._expect("[")
        found: list[object] = []
        if self._peek() == "]":
            self.at += 1
            return found
        while True:
            found.append(self._value(False))
            if self._after("]"):
                break
        for value in found:
            if value is not None and (type(value) is not int):
                return SKIPPED
        return found

    def _skip(self) -> bool:
        """Go behind a list or an object; whether it holds no other."""
        closing = ""
        deepest = 0
        while True:
            mark = self._peek()
            if mark == '"':
                self._text()
                continue
            self.at += 1
            if mark in "[{":
                closing += "]" if mark == "[" else "}"
                deepest = max(deepest, len(closing))
                if deepest > _DEEPEST:
                    raise FrameError("payload: more than %d lists in each other" % _DEEPEST)
            elif mark in "]}":
                if mark != closing[-1:]:
                    raise FrameError("marker: %s at %d closes nothing" % (mark, self.at - 1))
                closing = closing[:-1]
                if not closing:
                    return deepest == 1

    def _number(self) -> object:
        """An int; SKIPPED for a number that is none."""
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _NUMBER:
            self.at += 1
        text = self.text[start : self.at]
        digits = text[1:] if text[:1] == "-" else text
        if not digits or digits[0] not in _DIGITS or len(text) > _LONGEST:
            raise FrameError("payload: %s is no number" % text[:_LONGEST])
        for digit in digits:
            if digit not in _DIGITS:
                return SKIPPED
        if len(digits) > 1 and digits[0] == "0":
            raise FrameError("payload: %s is no number" % text)
        return int(text)

    def _text(self) -> str:
        self._expect('"')
        text = self.text
        found = ""
        while True:
            if self.at >= len(text):
                raise FrameError("truncated: a text does not end")
            mark = text[self.at]
            self.at += 1
            if mark == '"':
                return found
            if mark < " ":
                raise FrameError("marker: a control character in a text")
            if mark == "\\":
                mark = self._escaped()
            found += mark

    def _escaped(self) -> str:
        mark = self.text[self.at : self.at + 1]
        self.at += 1
        if mark == "u":
            code = 0
            digits = self.text[self.at : self.at + 4]
            self.at += 4
            for digit in digits:
                place = "0123456789abcdef".find(digit.lower())
                if place < 0:
                    raise FrameError("marker: \\u%s is no character" % digits)
                code = code << 4 | place
            if len(digits) < 4:
                raise FrameError("truncated: a text does not end")
            return "?" if 0xD800 <= code <= 0xDFFF else chr(code)
        if mark and mark in '"\\/':
            return mark
        if mark in _ESCAPES:
            return _ESCAPES[mark]
        raise FrameError("marker: \\%s in a text" % mark)
