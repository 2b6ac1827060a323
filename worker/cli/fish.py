"""What fish needs besides what click gives it."""

from __future__ import annotations

from typing import Any, ClassVar

from click.shell_completion import CompletionItem, FishComplete


class Fish(FishComplete):
    """Completes with whole descriptions, whatever commas they hold, and behind `--option=` too."""

    source_template: ClassVar[str] = FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """The completions of the word that is typed; fish compares them with the whole word."""
        items = super().get_completions(args, incomplete)
        option, sign, _ = incomplete.partition("=")
        if not sign or not option.startswith("-"):
            return items
        return [
            CompletionItem(f"{option}={item.value}", type=item.type, help=item.help)
            for item in items
        ]
