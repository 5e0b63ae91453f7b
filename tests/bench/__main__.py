"""`make bench`: every ratio that has a bound, measured side by side on this machine, as one table.

    python -m tests.bench [p1 p3 ...]

Each module has `run() -> [(name, value, bound, ok, detail), ...]`. Exit 1 where a bound is missed.
"""

import importlib
import sys
import time

MODULES = ("p1", "p3", "p4", "p5", "p6", "ascii", "can", "soak", "site")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        print(f"no such measurement: {' '.join(unknown)} (there are {' '.join(MODULES)})")
        return 2
    missed = 0
    print(f"{'what':30} {'value':>7} {'bound':>8}")
    for name in names or MODULES:
        began = time.monotonic()
        for what, value, bound, ok, detail in importlib.import_module(f"tests.bench.{name}").run():
            missed += not ok
            shown = f"{value:.3f}" if isinstance(value, float) else str(value)
            wanted = bound if isinstance(bound, str) else f"<= {bound}"
            print(f"{what:30} {shown:>7} {wanted:>8}  {'ok' if ok else 'MISSED':6}  {detail}")
        print(f"{'':30} ({name}: {time.monotonic() - began:.0f} s)", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
