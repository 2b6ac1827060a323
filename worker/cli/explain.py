"""`complete-sessions explain`: what an exit code or an error type means, and what to do."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from worker.app.process.streams import say
from worker.core.errors import ExitCode, UsageError
from worker.core.explanations import (
    ERROR_TYPES,
    EXIT_CODES,
    Explanation,
    explain_error,
    explain_exit_code,
    is_known_error,
    nearest,
)


def complete_error_type(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [
        CompletionItem(name, help=explanation.meaning)
        for name, explanation in ERROR_TYPES.items()
        if name.startswith(incomplete)
    ]


def _complete_subject(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    codes = [
        CompletionItem(str(int(code)), help=explanation.meaning)
        for code, explanation in EXIT_CODES.items()
        if str(int(code)).startswith(incomplete)
    ]
    return codes + complete_error_type(ctx, param, incomplete)


@click.command()
@click.argument(
    "subject",
    metavar="[EXIT_CODE|ERROR_TYPE]",
    required=False,
    shell_complete=_complete_subject,
)
def explain(subject: str | None) -> None:
    """Say what an exit code or an error type of the results log means, and what to do about it.

    Without an argument, list them all.

    \b
    Examples:
      complete-sessions explain 4
      complete-sessions explain http_503
    """
    if subject is None:
        say(_everything())
        return
    title, explanation = _find(subject)
    say(f"{title}: {explanation.meaning}\n{explanation.what_to_do}")


def _find(subject: str) -> tuple[str, Explanation]:
    if subject.isdecimal():
        digits = subject.lstrip("0") or "0"
        # No more than are needed to tell that there is no such code.
        explanation = explain_exit_code(int(digits[:6]))
        if explanation is None:
            known = ", ".join(str(int(code)) for code in EXIT_CODES)
            raise UsageError(f"{subject} is no exit code of this program", f"There are: {known}.")
        return f"Exit code {digits}", explanation
    name = subject.lower().replace("-", "_")
    if name.upper() in ExitCode.__members__:
        code = ExitCode[name.upper()]
        return f"Exit code {int(code)}", EXIT_CODES[code]
    if is_known_error(name):
        return name, explain_error(name)
    raise _unknown(subject)


def _unknown(subject: str) -> UsageError:
    near = nearest(subject)
    hint = f"Did you mean {near!r}?" if near else "`complete-sessions explain` lists them all."
    return UsageError(f"{subject!r} is neither an exit code nor an error type", hint)


def _everything() -> str:
    sections = [
        ("Exit codes", {str(int(code)): text for code, text in EXIT_CODES.items()}),
        ("Error types (any other HTTP status is http_<status>)", ERROR_TYPES),
    ]
    lines: list[str] = []
    for title, entries in sections:
        width = max(map(len, entries))
        lines += [
            title,
            *(f"  {name:<{width}}  {entry.meaning}" for name, entry in entries.items()),
        ]
        lines.append("")
    return "\n".join(lines[:-1])
