"""`complete-sessions schema`: what machines that read this program's output may rely on."""

from __future__ import annotations

import json
from inspect import cleandoc
from typing import Any, Final

import click
import msgspec

from worker.app.process.streams import say
from worker.core.outcomes import Record
from worker.observers.account import Account
from worker.observers.event_schema import event_schema

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("what", type=click.Choice(("record", "event", "summary")))
def schema(what: str) -> None:
    """Print the JSON Schema of a line of the results log (record), of a line of the JSON log on
    standard error (event), or of what --summary-json writes (summary).
    """
    say(json.dumps({"$schema": _DIALECT, **schema_of(what)}, indent=2))


def schema_of(what: str) -> dict[str, Any]:
    """The schema by its name: record, event or summary."""
    if what == "event":
        return event_schema()
    return _of_type(Record if what == "record" else Account)


def _of_type(kind: type[msgspec.Struct]) -> dict[str, Any]:
    [root], components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for component in components.values():
        if "description" in component:
            component["description"] = cleandoc(component["description"])
    return {**root, "$defs": components}
