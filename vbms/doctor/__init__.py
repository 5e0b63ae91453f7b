"""What is not as it should be, each finding with what to do about it. Nothing is changed."""

OK, INFO, WARNING, FAILED = "ok", "info", "warning", "failed"


class Finding:
    """One thing that was looked at."""

    __slots__ = ("advice", "state", "subject", "text")

    def __init__(self, state: str, subject: str, text: str, advice: str = "") -> None:
        self.state = state
        self.subject = subject
        self.text = text
        self.advice = advice

    def row(self) -> dict[str, str | None]:
        """As data."""
        return {
            "state": self.state,
            "subject": self.subject,
            "text": self.text,
            "advice": self.advice or None,
        }
