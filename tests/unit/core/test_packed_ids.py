from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.packed_ids import pack_id, unpack_id

HEXADECIMAL = st.from_regex(r"[0-9a-fA-F ]{23,25}", fullmatch=True)


@given(st.text(max_size=30) | HEXADECIMAL)
def test_a_packed_id_unpacks_to_itself(text: str) -> None:
    assert unpack_id(pack_id(text)) == text


@given(st.binary(min_size=12, max_size=13))
def test_no_id_is_taken_for_another(digits: bytes) -> None:
    ids = {digits[:12].hex(), digits[:12].hex().upper(), digits.decode("latin-1")}
    assert len({pack_id(text) for text in ids}) == len(ids)


@pytest.mark.parametrize("other", ["00000000000000000000000A", "0000000000000000000000 0a", "0a"])
def test_ids_that_look_alike_stay_apart(other: str) -> None:
    assert pack_id(other) != pack_id("00000000000000000000000a")


def test_an_id_of_24_letters_that_are_no_digits_is_kept_as_it_is() -> None:
    assert pack_id("z" * 24) == b"z" * 24
    assert pack_id("ab " * 8) == b"ab " * 8
