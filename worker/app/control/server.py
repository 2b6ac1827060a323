"""The run's side: answers how it stands, and does what its owner asks."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from worker.app.control.address import bound, socket_path
from worker.app.control.protocol import (
    MAX_LINE_BYTES,
    PauseStatus,
    Reply,
    Request,
    RunStatus,
    decode_request,
    encode,
)
from worker.core.clock import Clock
from worker.core.errors import ExitCode, WorkerError
from worker.core.events import Event, PauseReason, Snapshot, Ticked
from worker.core.identity import RunIdentity
from worker.core.outcomes import Outcome
from worker.core.timetable import Timetable
from worker.observers.estimate import Estimate, ids_left, moment_in
from worker.pacing.pacer import Pacer
from worker.runner import Runner

_PATIENCE_S: Final = 5.0
"""A choice: a command sends its line at once; whoever does not is held on to no longer."""

_CREDENTIALS: Final = struct.Struct("3i")

Tell = Callable[[str, str], None]
"""Is told what was changed, and by whom."""


class OwnerStoppedError(WorkerError):
    """Somebody has asked the run to end."""

    exit_code = ExitCode.TERMINATED


class Peer(NamedTuple):
    """Who is at the other end of a connection."""

    pid: int
    uid: int

    def __str__(self) -> str:
        try:
            name = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            name = f"uid {self.uid}"
        return f"{name} (process {self.pid})"


class LatestEta:
    """Keeps how long the rest of the run will take, for whoever asks; an observer."""

    def __init__(self) -> None:
        self._estimate = Estimate()
        self.eta_s: float | None = None

    def notice(self, event: Event) -> None:
        if isinstance(event, Ticked):
            self.eta_s = self._estimate.update(event.snapshot)

    def forget(self) -> None:
        """What was estimated holds no more; the next tick knows."""
        self.eta_s = None


class RunControl:
    """Answers requests to one run.

    Args:
        parse_rate: reads what stands after --rate; raises ValueError in words.
        tell: is told of every change.
    """

    def __init__(
        self,
        runner: Runner,
        pacer: Pacer,
        latest_eta: LatestEta,
        clock: Clock,
        identity: RunIdentity,
        results: Path,
        *,
        parse_rate: Callable[[str], Timetable],
        tell: Tell,
    ) -> None:
        self._runner = runner
        self._pacer = pacer
        self._latest_eta = latest_eta
        self._clock = clock
        self._identity = identity
        self._results = results
        self._parse_rate = parse_rate
        self._tell = tell

    def answer(self, line: bytes, peer: Peer) -> Reply:
        """Do what a line asks for; all of it, or nothing."""
        try:
            request = decode_request(line)
            self._carry_out(request, peer)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            return Reply(error=str(error))
        return Reply(status=self.status())

    def status(self) -> RunStatus:
        """The run at this moment."""
        snapshot, identity = self._runner.snapshot(), self._identity
        tally = snapshot.tally
        return RunStatus(
            running=True,
            results=str(self._results),
            run=identity.run,
            pid=identity.pid,
            host=identity.host,
            since=_rfc3339(identity.began),
            outcomes={outcome.value: tally.outcomes[outcome] for outcome in Outcome},
            done=tally.done,
            total=snapshot.total,
            left=ids_left(snapshot),
            rate_asked=_shown(self._pacer.rates),
            rate_allowed=round(snapshot.rate_allowed, 3),
            rate_now=round(snapshot.rate_now, 3),
            concurrency_bound=snapshot.concurrency_bound,
            pause=self._pause(snapshot),
            eta_s=self.eta_s(snapshot),
            stopping=snapshot.draining,
            ended=None,
            exit_code=None,
            reason=None,
        )

    def eta_s(self, snapshot: Snapshot) -> float | None:
        """Seconds that the rest will take; None where nobody knows."""
        is_held_up = snapshot.pause is not None and snapshot.pause.reason != PauseReason.QUIET
        eta_s = self._latest_eta.eta_s
        return None if eta_s is None or is_held_up or snapshot.draining else round(eta_s, 1)

    def _carry_out(self, request: Request, peer: Peer) -> None:
        rates = None if request.rate is None else self._parse_rate(request.rate)
        if rates is not None:
            self._pacer.follow(rates)
            self._latest_eta.forget()
            self._tell(f"the rate is {_shown(rates)} from now on", str(peer))
        if request.pause or request.resume:
            self._pacer.hold(is_held=request.pause)
            self._tell("the run pauses" if request.pause else "the run goes on", str(peer))
        if request.stop:
            self._tell("the run ends", str(peer))
            advice = "Run the same command again to go on"
            self._runner.stop(OwnerStoppedError(f"{peer} asked the run to end", advice))

    def _pause(self, snapshot: Snapshot) -> PauseStatus | None:
        if snapshot.pause is None:
            return None
        until = moment_in(snapshot.pause.seconds_left, self._clock)
        return PauseStatus(
            reason=snapshot.pause.reason, until=None if until is None else _rfc3339(until)
        )


@asynccontextmanager
async def serving(
    control: RunControl, results: Path, warn: Callable[[str], None]
) -> AsyncIterator[None]:
    """Within: the run can be asked through the log's socket; without one the run goes on."""
    try:
        listener = bound(socket_path(results))
        opened = listener.__enter__()
    except OSError as error:
        warn(f"`status` and `control` will not reach this run: {error.strerror or error}")
        yield
        return
    try:
        server = await asyncio.start_unix_server(
            partial(_serve, control), sock=opened, limit=MAX_LINE_BYTES
        )
        try:
            yield
        finally:
            server.close()
    finally:
        listener.__exit__(None, None, None)


async def _serve(
    control: RunControl, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            line = await reader.readline()
            peer = _peer_of(writer)
            # The mode of the socket keeps others out; so would this, were the mode changed.
            if peer.uid in (0, os.geteuid()):
                writer.write(encode(control.answer(line, peer)) + b"\n")
                await writer.drain()
    except (TimeoutError, OSError, ValueError):
        pass  # Whoever asked is gone, or asks nothing that can be read: the run has work to do.
    finally:
        writer.close()


def _peer_of(writer: asyncio.StreamWriter) -> Peer:
    connection = writer.get_extra_info("socket")
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(packed)
    return Peer(pid, uid)


def _shown(rates: Timetable) -> str:
    return f"{rates.highest_rate:g}" if rates.is_constant else str(rates)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
