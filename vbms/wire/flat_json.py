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
    if data and max(data) > 127:
        raise FrameError("marker: byte %02x, only ASCII is JSON here" % max(data))
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
        self._nested = False  # the value that is being read holds lists or objects of its own

    def _peek(self) -> str:
        text = self.text
        at = self.at
        while text[at : at + 1] in _SPACE:  # as nothing is, too
            if at >= len(text):
                raise FrameError("truncated: the object does not end")
            at += 1
        self.at = at
        return text[at]

    def _expect(self, mark: str) -> None:
        if self.text[self.at : self.at + 1] != mark:
            found = self._peek()
            if found != mark:
                raise FrameError("marker: %s at %d, not %s" % (repr(found), self.at, mark))
        self.at += 1

    def _after(self, end: str) -> bool:
        """Behind a value: True at the end, False when a comma says that more comes."""
        mark = self._peek()
        if mark != end and mark != ",":
            raise FrameError("marker: %s at %d, not , or %s" % (repr(mark), self.at, end))
        self.at += 1
        return mark == end

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
        if mark in "[{":
            if not outer:
                self._nested = True
                return self._skip()
            self._nested = False
            found = self._list() if mark == "[" else self.group(False)
            return SKIPPED if self._nested else found
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

    def _skip(self) -> object:
        """Go behind a list or an object within another one."""
        closing = ""
        while True:
            mark = self._peek()
            if mark == '"':
                self._text()
                continue
            self.at += 1
            if mark in "[{":
                closing += "]" if mark == "[" else "}"
                if len(closing) >= _DEEPEST:
                    raise FrameError("payload: more than %d lists in each other" % _DEEPEST)
            elif mark in "]}":
                if mark != closing[-1:]:
                    raise FrameError("marker: %s at %d closes nothing" % (mark, self.at - 1))
                closing = closing[:-1]
                if not closing:
                    return SKIPPED

    def _number(self) -> object:
        """An int; SKIPPED for a number that is none."""
        whole = self.text
        start = at = self.at
        while at < len(whole) and whole[at] in _NUMBER:
            at += 1
        self.at = at
        text = whole[start:at]
        digits = text[1:] if text[:1] == "-" else text
        if not digits or digits[0] not in _DIGITS or len(text) > _LONGEST:
            raise FrameError("payload: %s is no number" % text[:_LONGEST])
        whole = digits
        for mark in "eE.":  # what stands behind each of them has digits, and before the first
            at = whole.find(mark)
            if at >= 0:
                rest = whole[at + 1 :]
                if mark != "." and rest[:1] in ("+", "-"):
                    rest = rest[1:]
                if not rest.isdigit():
                    raise FrameError("payload: %s is no number" % text)
                whole = whole[:at]
        if not whole.isdigit() or len(whole) > 1 and whole[0] == "0":
            raise FrameError("payload: %s is no number" % text)
        return int(text) if whole == digits else SKIPPED

    def _text(self) -> str:
        self._expect('"')
        text = self.text
        end = text.find('"', self.at)
        found = text[self.at : max(end, self.at)]
        if end >= 0 and "\\" not in found and min(found + " ") == " ":
            self.at = end + 1
            return found
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
