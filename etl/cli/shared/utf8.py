"""Every argument is text: what is not UTF-8 is refused, except in a path."""

from __future__ import annotations

from typing import Any

import click

from etl.show.escaping import harmless


class Text(click.types.StringParamType):
    """Text from the command line; bytes that are not come as lone surrogates and are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(super().convert(value, param, ctx))
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{harmless(text)!r} is not UTF-8", param, ctx)
        return text


def refuse_bytes(command: click.Command) -> None:
    """Make every text of a command and its subcommands a Text; paths may be any bytes."""
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = Text()
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        refuse_bytes(below)
