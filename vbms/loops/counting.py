"""What is counted of each battery, however it is asked: /api/units and the metrics show it."""


def unit_counters() -> "dict[str, int]":
    """All at 0, for one battery."""
    return {
        "polls": 0,
        "timeouts": 0,
        "bad_frames": 0,
        "foreign": 0,
        "refused": 0,
        "implausible": 0,
    }
