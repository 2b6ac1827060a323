"""Runs the program's own Lua scripts on a model of Redis, with the Lua that Redis has (5.1).

Source for how values go to and fro: "Redis Lua API reference" at redis.io.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from lupa import lua51

from tests.proofs.simulation.cluster.store import CommandError, Store

_API: Final = """
function(execute)
  local function answer(is_error, value)
    if is_error then return {err = value} end
    return value
  end
  redis = {
    pcall = function(...) return answer(execute(...)) end,
    call = function(...)
      local is_error, value = execute(...)
      if is_error then error({err = value}) end
      return value
    end,
    error_reply = function(text) return {err = text} end,
    status_reply = function(text) return {ok = text} end,
  }
end
"""
_GUARDED: Final = """
function(script)
  return function(keys, args)
    KEYS, ARGV = keys, args
    local is_well, value = pcall(script)
    if is_well then return value end
    if type(value) == 'table' then return value end
    return {err = 'ERR ' .. tostring(value)}
  end
end
"""


class Scripts:
    """Scripts, each compiled once; `run` takes the store that they work on."""

    def __init__(self) -> None:
        self._lua: Any = lua51.LuaRuntime(unpack_returned_tuples=True)
        self._guarded: Any = self._lua.eval(_GUARDED)
        self._compiled: dict[str, Callable[..., Any]] = {}
        self._store: Store | None = None
        self._lua.eval(_API)(self._execute)

    def run(self, store: Store, script: str, keys: Sequence[str], args: Sequence[str]) -> Any:
        """What the script returns. Raises CommandError where it fails."""
        compiled = self._compiled.get(script)
        if compiled is None:
            compiled = self._guarded(self._lua.compile(script))
            self._compiled[script] = compiled
        self._store = store
        table = self._lua.table_from
        return _from_lua(compiled(table(keys), table(args)))

    def _execute(self, name: str, *args: object) -> tuple[bool, Any]:
        assert self._store is not None
        try:
            value = self._store.execute(name, *map(_text, args))
        except CommandError as error:
            return True, str(error)
        return False, self._to_lua(value)

    def _to_lua(self, value: Any) -> Any:
        if value is None:
            return False
        return self._table(value) if isinstance(value, list) else value

    def _table(self, values: list[Any]) -> Any:
        return self._lua.table_from([self._to_lua(value) for value in values])


def _text(value: object) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)


def _from_lua(value: Any) -> Any:
    """The answer that a client gets of what a script returned."""
    if isinstance(value, str) or value is None:
        return value
    if value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, float):
        return int(value)
    if lua51.lua_type(value) != "table":
        return value
    if value["err"] is not None:
        raise CommandError(value["err"])
    if value["ok"] is not None:
        return value["ok"]
    return _list_from(value)


def _list_from(table: Any) -> list[Any]:
    values = []
    for index in range(1, len(table) + 1):
        if table[index] is None:
            break
        values.append(_from_lua(table[index]))
    return values
