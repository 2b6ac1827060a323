"""How each contender is started. All send the same request for each id of the same file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.process import KEY, Command, python

UVLOOP = "complete-sessions (uvloop)"
ASYNCIO = "complete-sessions (asyncio)"
TIMETABLE = "a timetable, aiohttp"
PEERS = Path(__file__).resolve().parent / "peers"
CONCURRENCY = "32"

_HEADERS = ["-H", f"Authorization: {KEY}", "-H", "Content-Type: application/json"]
_CURL = ["curl", "--silent", "-X", "POST", *_HEADERS, "--data", "{}"]
_WITHOUT_UVLOOP = (
    "import sys; sys.modules['uvloop'] = None; from worker.__main__ import main; main()"
)


@dataclass(frozen=True)
class Job:
    """What a contender is to do; `directory` is its own."""

    url: str
    ids: Path
    directory: Path
    rate: int

    @property
    def endpoint(self) -> str:
        return f"{self.url}/workflowSessions"


@dataclass(frozen=True)
class Contender:
    name: str
    command: Callable[[Job], Command]
    needs: tuple[str, ...] = ()


def write_ids(path: Path, count: int) -> Path:
    with path.open("w") as file:
        file.writelines(f"{session}\n" for session in made_up_ids(count))
    return path


def made_up_ids(count: int) -> Iterable[str]:
    return (f"5eb2b61e02df0a00{number:08x}" for number in range(1, count + 1))


def complete_sessions(loop: str, *options: str) -> Callable[[Job], Command]:
    """The program itself, with its durable log and its journal; `loop` is asyncio or uvloop."""
    program = ["-c", _WITHOUT_UVLOOP] if loop == "asyncio" else ["-m", "worker"]

    def command(job: Job) -> Command:
        given = ["--base-url", job.url, "--rate", str(job.rate)]
        results = ["--results", str(job.directory / "results.jsonl")]
        return Command(python(*program, "run", str(job.ids), *given, *results, *options))

    return command


def peer(script: str, *more: str, rated: bool = False) -> Callable[[Job], Command]:
    """A script of ours beside this module: URL FILE [RATE] and what else it takes."""

    def command(job: Job) -> Command:
        rate = [str(job.rate)] if rated else []
        return Command(python(str(PEERS / f"{script}.py"), job.url, str(job.ids), *rate, *more))

    return command


def curl(*options: str, rated: bool = False) -> Callable[[Job], Command]:
    """One process, which reads every URL from one file."""

    def command(job: Job) -> Command:
        urls = job.directory / "curl.conf"
        with job.ids.open() as ids, urls.open("w") as file:
            for line in ids:
                file.write(f'url="{job.endpoint}/{line.strip()}/complete"\noutput="/dev/null"\n')
        rate = ["--rate", f"{job.rate}/s"] if rated else []
        return Command([*_CURL, *options, *rate, "-K", str(urls)])

    return command


def curl_for_each(*starter: str) -> Callable[[Job], Command]:
    """A curl for each id, started by another program, which puts the id where it says `@`."""

    def command(job: Job) -> Command:
        call = [*_CURL, "--output", "/dev/null", f"{job.endpoint}/@/complete"]
        gap = ["--delay", f"{1 / job.rate:g}"] if starter[0] == "parallel" else []
        return Command([*starter, *gap, "-I", "@", *call], stdin=job.ids)

    return command


def paced(longest_s: float) -> list[Contender]:
    """Those that can be asked for a rate."""
    bound = ("--max-duration", f"{longest_s:g}s", "-q")
    parallel = curl_for_each("parallel", "--will-cite", "-q", "-j", CONCURRENCY)
    return [
        Contender(UVLOOP, complete_sessions("uvloop", *bound), ("python:uvloop",)),
        Contender(ASYNCIO, complete_sessions("asyncio", *bound)),
        Contender("curl --rate", curl(rated=True), ("curl",)),
        Contender("GNU parallel --delay, curl", parallel, ("parallel", "curl")),
        Contender("asyncio-throttle, gather", peer("throttle_gather", rated=True)),
        Contender(TIMETABLE, peer("timetable", rated=True)),
        Contender(
            "official client, sleep",
            peer("official_client", "1", rated=True),
            ("python:complycube",),
        ),
    ]
