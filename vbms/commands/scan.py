"""`vbms scan`: what is out there. Each medium is a command of its own, loaded when it is used."""

import importlib

import click

MEDIA = {
    "ble": "Bluetooth: batteries that advertise",
    "serial": "serial lines: speeds, protocols and addresses",
}


class Media(click.Group):
    """A group that imports only the medium that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MEDIA)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MEDIA:
            return None
        module = importlib.import_module(f"vbms.commands.scan_{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Media"):
            formatter.write_dl(list(MEDIA.items()))


@click.group("scan", cls=Media)
def command() -> None:
    """What is out there, as lines ready to paste into `batteries:`."""
