"""The one list of the files that a PC and a board share, in MicroPython's manifest language.

A frozen build reads it as it is; build.py executes it to compile the files one by one.
"""

package(
    "vbms",
    (
        "__init__.py",
        "errors.py",
        "integers.py",
        "options.py",
        "wire/__init__.py",
        "wire/crc.py",
        "wire/fields.py",
        "wire/framing.py",
        "wire/receiver.py",
        "aggregate/__init__.py",
        "aggregate/admission.py",
        "aggregate/alarms.py",
        "aggregate/bank.py",
        "aggregate/freshness.py",
        "aggregate/ladder.py",
        "aggregate/limits.py",
        "aggregate/member.py",
        "aggregate/merge.py",
        "aggregate/present.py",
        "aggregate/profile.py",
        "aggregate/snapshot.py",
        "aggregate/virtual.py",
        "upstream/__init__.py",
        "upstream/byd_pro.py",
        "upstream/jk02.py",
        "upstream/jk_pb.py",
        "upstream/registry.py",
        "downstream/__init__.py",
        "downstream/deye_rs485.py",
        "downstream/registry.py",
        "loops/__init__.py",
        "loops/responder.py",
        "web/__init__.py",
    ),
    base_path="..",
)
