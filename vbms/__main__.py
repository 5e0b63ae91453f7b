"""The command line. Each command lives in vbms/commands and loads when it is used."""

import importlib
import logging
import os
import sys
from pathlib import Path

import click

COMMANDS = {
    "run": "the service: reads the batteries, answers the inverters",
    "check": "validate the configuration; opens nothing",
    "demo": "the whole thing simulated, with an inverter's screen in this terminal",
    "simulate": "play a device on a serial port or a pty",
    "scan": "what is out there, as lines for `batteries:`",
    "decode": "frames to values, or the reason for refusing them",
    "sniff": "what goes over a link, both ways, shown and recorded",
    "replay": "a recording through the whole program",
    "soak": "a simulated site with faults, days in minutes: what held, what broke",
    "selftest": "two RS485 ports wired together, does each hear the other?",
    "doctor": "ports, permissions, adapters, clock, versions: what is not as it should be",
    "merge": "what would the bank say? JSON lines in, JSON lines out",
    "drivers": "every battery and inverter protocol with its options",
    "ack": "a retired battery is gone for good: stop reserving for it",
}


class Commands(click.Group):
    """A group that knows its commands by name and imports only the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"vbms.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


class LogFormat(logging.Formatter):
    """`2026-11-20T13:18:01.123 INFO garage-1: online`; no time under systemd, which has its own."""

    def __init__(self, level: int) -> None:
        stamp = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s.%(msecs)03d "
        module = "%(name)s: " if level <= logging.DEBUG else ""
        super().__init__(f"{stamp}%(levelname)s {module}%(message)s", "%Y-%m-%dT%H:%M:%S")


def set_up_logging(level_name: str) -> None:
    """Everything to stderr, libraries only where they have something to warn of."""
    level = logging.getLevelNamesMapping()[level_name]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormat(level))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("vbms").setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    logging.getLogger("bleak").setLevel(logging.ERROR)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file.  [default: ./vbms.yaml, then /etc/vbms/vbms.yaml]",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="How much to log, to stderr.",
)
@click.version_option(package_name="vbms", message="vbms %(version)s")
@click.pass_context
def main(ctx: click.Context, config: Path | None, log_level: str) -> None:
    """One virtual battery out of many: between home batteries and an inverter."""
    set_up_logging(log_level)
    ctx.obj = {"config": config, "log_level": log_level}


if __name__ == "__main__":
    main()
