"""A key that is replaced while a run lasts: the run goes on where its file holds the new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import environment, run
from tests.support.raw_server import PROCESSING, RawServer, Request, Sent, response
from tests.support.run_harness import backlog, ids, records_in, results

OLD, NEW = "live_0aMiZu7o3Kq9old1", "live_0aMiZu7o3Kq9new2"
REFUSAL = response(b'{"type": "unauthorized", "message": "Invalid API key"}', status="401 No")
RENEWED = (
    "the API refused the key (401), and the key file holds another one now:"
    " going on with live_…new2"
)
OTHER_KIND = "holds a key of kind test now, and the run began with one of kind live"


class Api:
    """Takes the old key for some requests; then it is revoked, and its file holds `later`."""

    def __init__(self, key_file: Path, later: str | None) -> None:
        self._key_file = key_file
        self._later = later
        self._accepted = OLD
        self._served = 0

    def answer(self, request: Request) -> Sent:
        if request.headers["authorization"] != self._accepted:
            return Sent(REFUSAL)
        self._served += 1
        if self._served == 20:
            self._accepted = NEW
            if self._later is not None:
                self._key_file.write_text(self._later)
        return Sent(response(PROCESSING))


def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(OLD)
    path.chmod(0o600)
    return path


async def test_a_run_goes_on_with_the_key_that_its_file_holds_now(tmp_path: Path) -> None:
    some = ids(60)
    key = key_file(tmp_path)
    env = environment(RETRY_MAX_ATTEMPTS="1") | {"COMPLYCUBE_API_KEY": ""}
    async with RawServer(Api(key, NEW).answer) as server:
        source = backlog(tmp_path, *some)
        done = await run(*("run", source, "--base-url", server.url, "--api-key-file", key), env=env)
    assert done.code == 0
    assert done.last["processing"] == 60
    notices = [event["message"] for event in done.events if event["event"] == "notice"]
    assert notices == [RENEWED]
    records = records_in(results(tmp_path))
    targets = list(dict.fromkeys(record.target for record in records))
    assert len(targets) == 2
    assert records[-1].target == targets[1]
    assert not [key for key in (OLD, NEW) if key in done.err + results(tmp_path).read_text()]


@pytest.mark.parametrize(
    ("later", "notice"), [(None, None), ("", "is empty"), (NEW.replace("live", "test"), OTHER_KIND)]
)
async def test_without_another_key_of_the_same_kind_the_run_stops(
    tmp_path: Path, later: str | None, notice: str | None
) -> None:
    key = key_file(tmp_path)
    env = environment() | {"COMPLYCUBE_API_KEY": ""}
    async with RawServer(Api(key, later).answer) as server:
        source = backlog(tmp_path, *ids(60))
        done = await run(*("run", source, "--base-url", server.url, "--api-key-file", key), env=env)
    assert done.code == 3
    assert "the API refuses this key or account: HTTP 401" in done.last["reason"]
    told = [event["message"] for event in done.events if event["event"] == "notice"]
    assert len(told) == (notice is not None)
    assert notice is None or notice in told[0]


async def test_a_key_of_the_environment_cannot_be_read_again(tmp_path: Path) -> None:
    env = environment() | {"COMPLYCUBE_API_KEY": OLD}
    async with RawServer(Api(key_file(tmp_path), NEW).answer) as server:
        done = await run("run", backlog(tmp_path, *ids(60)), "--base-url", server.url, env=env)
    assert done.code == 3
    assert done.last["processing"] == 20


async def test_find_goes_on_with_the_new_key_too(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    page = response(b'{"page": 1, "pages": 0, "totalItems": 0, "items": []}')

    def answer(request: Request) -> Sent:
        if request.headers["authorization"] == NEW:
            return Sent(page)
        key.write_text(NEW)
        return Sent(REFUSAL)

    env = environment() | {"COMPLYCUBE_API_KEY": ""}
    async with RawServer(answer) as server:
        done = await run("find", "--base-url", server.url, "--api-key-file", key, env=env)
    assert done.code == 0
    assert RENEWED in done.err
