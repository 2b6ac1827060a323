"""The README's tables and samples that follow from the code; `python -m tests.readme_tables`
renews them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from worker.cli import group
from worker.core.errors import ExitCode
from worker.core.events import RunFinished
from worker.core.explanations import EXIT_CODES
from worker.core.outcomes import ErrorType, Outcome
from worker.core.tally import Tally
from worker.observers.exposition import RunState, exposition
from worker.observers.summary import render
from worker.settings import OPTIONS, Option

README = Path(__file__).parents[2] / "README.md"


def options() -> str:
    """Every setting: its flag, variable, YAML key, default and meaning."""
    rows = (
        (
            f"`{option.flag} {_value(option)}`".replace(" `", "`") if option.flag else "",
            f"`{option.path}`",
            f"`{option.env}`",
            f"`{option.default_text}`",
            _cell(option.help),
        )
        for option in OPTIONS
    )
    return _table(("flag", "YAML key", "variable", "default", "meaning"), rows)


def exit_codes() -> str:
    rows = ((str(int(code)), _cell(EXIT_CODES[code].meaning)) for code in ExitCode)
    return _table(("code", "meaning"), rows)


def commands() -> str:
    context = click.Context(group)
    rows = (
        (f"`{name}`", _cell(_first_sentence(command)))
        for name in group.list_commands(context)
        if (command := group.get_command(context, name)) is not None and not command.hidden
    )
    return _table(("command", "does"), rows)


def metrics() -> str:
    """What a metrics file holds after a run, read back from one."""
    state = RunState(0.0, ids_left=0, rate_allowed=8.0, exit_code=ExitCode.OK, ended_at=1.0)
    state.tally.requests["200"] = 1
    state.last_success_at = 1.0
    families = text_string_to_metric_families(exposition(state).decode())
    rows = ((f"`{_metric_name(one)}`", one.type, _cell(one.documentation)) for one in families)
    return _table(("metric", "type", "meaning"), rows)


def summary() -> str:
    """What a run over 500 ids says at its end."""
    tally = Tally()
    tally.input = 500
    tally.outcomes.update({Outcome.PROCESSING: 489, Outcome.NOT_FOUND: 10, Outcome.FAILED: 1})
    tally.requests.update({"200": 489, "404": 10})
    tally.errors.update({ErrorType.INVALID_ID.value: 1, "resource_not_found": 10})
    for number in range(499):
        tally.latency_ms.add(60.0 + number % 50)
    finished = RunFinished(
        run="20261123T010000Z-7f3a",
        exit_code=ExitCode.SOME_FAILED,
        reason="",
        advice="",
        tally=tally,
        elapsed_s=62.5,
        rate=8.0,
        complete_input=True,
    )
    text = render(finished, 80, "complete-sessions run backlog.txt")
    return f"```\n{text}\n```"


def _metric_name(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = {label for sample in family.samples for label in sample.labels} - {"le"}
    return name + (f"{{{','.join(sorted(labels))}}}" if labels else "")


TABLES: dict[str, Callable[[], str]] = {
    "summary": summary,
    "commands": commands,
    "options": options,
    "exit codes": exit_codes,
    "metrics": metrics,
}


def renewed(text: str) -> str:
    """The README's text with each generated table as it should be."""
    for name, make in TABLES.items():
        before, _, after = text.partition(f"<!-- {name} -->")
        after = after.split(f"<!-- /{name} -->")[-1]
        text = f"{before}<!-- {name} -->\n{make()}\n<!-- /{name} -->{after}"
    return text


def _value(option: Option) -> str:
    return "" if option.is_flag else _cell("|".join(option.choices) or option.metavar)


def _first_sentence(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
