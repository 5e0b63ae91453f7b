"""What belongs to an extra loads where it is configured, and nowhere else."""

import subprocess
import sys
from pathlib import Path

YAML = """
links: {byd: {kind: simulate, baud: 9600}, jk: {kind: simulate}, inv: {kind: simulate}}
batteries:
  - {name: byd-1, profile: byd_pro_2_5, link: byd, address: 1}
  - {name: jk-1, profile: jk_pb, link: jk, address: 1}
inverters: [{name: deye, profile: deye_rs485, link: inv}]
web: {listen: 127.0.0.1:0}
"""
RUN = """
import os, signal, sys, threading, urllib.request
from vbms.__main__ import main
threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
try:
    main(["-c", sys.argv[1], "run"])
except SystemExit as end:
    assert not end.code, end.code
extras = "bleak dbus_fast can aiomqtt paho pymodbus smbus2 gpiod"
print(" ".join(name for name in extras.split() if name in sys.modules))
assert "prometheus_client" in sys.modules and "microdot" in sys.modules
"""


def test_serial_lines_load_no_extra(tmp_path: Path) -> None:
    (tmp_path / "vbms.yaml").write_text(YAML + f"state_dir: {tmp_path}\n")
    words = [sys.executable, "-c", RUN, str(tmp_path / "vbms.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr + done.stdout
