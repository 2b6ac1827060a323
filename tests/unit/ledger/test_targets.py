from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.ledgers import A, B, C, record, records_in, said, serving
from worker.core.errors import ExitCode, UsageError
from worker.core.outcomes import Outcome
from worker.core.target import Target
from worker.ledger import Ledger, Past, Standing
from worker.ledger.journal import journal_path
from worker.ledger.lines import encode_line

LIVE = Target("https://api.example.com/v1", "live", "00000001")
ROTATED = LIVE._replace(fingerprint="00000002")
TEST = LIVE._replace(kind="test")
SANDBOX = LIVE._replace(base_url="http://127.0.0.1:8080/v1")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def begin(log: Path) -> Past:
    return Ledger.open(log, "run-2", target=LIVE)


def preview(log: Path) -> Past:
    return Ledger.preview(log, target=LIVE)


async def settle(log: Path, target: Target | None) -> None:
    ledger = Ledger.open(log, "run-1", target=target)
    async with serving(ledger):
        ledger.append(record(A))
        ledger.append(record(B, Outcome.NOT_FOUND))


async def test_every_record_names_its_target(log: Path) -> None:
    await settle(log, LIVE)
    assert [each.target for each in records_in(log)] == [str(LIVE)] * 2
    past = Ledger.preview(log, target=LIVE)
    assert [past.standing(each) for each in (A, B, C)] == [
        Standing.SETTLED,
        Standing.SETTLED,
        Standing.NEW,
    ]
    assert said(past) == []


@pytest.mark.parametrize("other", [TEST, SANDBOX])
async def test_a_log_of_another_api_or_kind_of_key_is_refused_and_both_are_named(
    log: Path, other: Target
) -> None:
    await settle(log, other)
    for use in (begin, preview):
        with pytest.raises(UsageError) as caught:
            use(log)
        assert caught.value.exit_code is ExitCode.USAGE
        assert caught.value.message == (
            f"{log} holds what was sent to {other.base_url} with a {other.kind} key, "
            f"and this run is for {LIVE.base_url} with a live key"
        )
        assert "--results" in caught.value.advice
    assert not journal_path(log).exists()


async def test_what_only_failed_elsewhere_keeps_no_run_from_a_corrected_address(log: Path) -> None:
    ledger = Ledger.open(log, "run-1", target=SANDBOX)
    async with serving(ledger):
        ledger.append(record(A, error="ambiguous"))
    past = preview(log)
    assert [past.standing(each) for each in (A, B)] == [Standing.CHECK, Standing.NEW]
    assert said(past) == []


async def test_under_another_key_of_its_kind_only_what_was_not_found_is_asked_again(
    log: Path,
) -> None:
    await settle(log, ROTATED)
    past = Ledger.preview(log, target=LIVE)
    assert [past.standing(each) for each in (A, B)] == [Standing.SETTLED, Standing.NEW]
    assert past.settled == 1
    assert " ".join(said(past)) == (
        "The results log holds records of another key of the same kind: what it accepted stays "
        "settled, and what it did not find is asked again"
    )
    assert all(note.is_routine for note in past.notes)


@pytest.mark.parametrize("strange", [None, 7, ["x"]])
def test_records_without_a_target_count_as_the_runs_own(log: Path, strange: object) -> None:
    fields = json.loads(encode_line(record(B, Outcome.NOT_FOUND)))
    log.write_text(json.dumps(fields | {"target": strange}) + "\n")
    del fields["target"]
    with log.open("a") as file:
        file.write(json.dumps(fields | {"id": A}) + "\n")
    past = Ledger.preview(log, target=LIVE)
    assert [past.standing(each) for each in (A, B)] == [Standing.SETTLED, Standing.SETTLED]
    assert " ".join(said(past)) == (
        "Records of the results log do not name their target, as older versions wrote them: they "
        "count as this run's own"
    )


def test_a_fingerprint_tells_keys_apart_and_nothing_of_them() -> None:
    one, other = (Target.of("https://x/v1", "live", f"live_{each}") for each in ("one", "other"))
    assert one != other
    assert one == Target.of("https://x/v1", "live", "live_one")
    assert len(one.fingerprint) == 8
    assert "one" not in str(one)
    assert Target.parse(str(one)) == one
    assert Target.parse("anything else at all") is None
