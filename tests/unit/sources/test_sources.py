"""What stands in the input, and which items come of it."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.errors import SourceError, UsageError, WorkerError
from worker.core.outcomes import Item, is_valid_id
from worker.sources import Source, open_source
from worker.sources.items import BLANKS

IDS = st.text("abcXYZ019_-", min_size=1, max_size=128).filter(is_valid_id)
FRAGMENTS = [
    *(b"abc", b"id", b"x1", b"name", b"a" * 129, b".", b"\0", b"\xff", b"\xc3\xa9", b"\xe2\x82"),
    *(b"\n", b"\n", b"\r", b"\r\n", b",", b";", b"\t", b"|", b'"', b'""', b"#", b" ", b"\xc2\xa0"),
    *(b"{", b"[", b'{"id":"a"}', b'{"id":1}', b'"b"', b"null", b'{"id":"\\ud800"}', b"id,name\n"),
    *(codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\x1f", b"\x1f\x8b"),
    *(gzip.compress(b"abc\nde", mtime=0), "id\nab\n".encode("utf-16"), b"\0\xd8"),
]
JUMBLE = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=30).map(b"".join)
FORMATS = st.sampled_from(["auto", "lines", "csv", "jsonl"])


class Pieces(io.BytesIO):
    """Gives its pieces one at a time, however many bytes are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces

    def read(self, size: int | None = -1) -> bytes:
        return next(self._pieces, b"")


def source_of(data: bytes, format: str = "auto", field: str = "id") -> Source:
    return open_source("-", format=format, field=field, stdin=io.BytesIO(data))


def read(data: bytes, format: str = "auto", field: str = "id") -> list[Item]:
    return drained(source_of(data, format, field))


def drained(source: Source) -> list[Item]:
    items = []
    while some := source.take(7):
        items += some
    return items


def pairs(data: bytes, format: str = "auto", field: str = "id") -> list[tuple[str, int]]:
    """Ids and their lines; no line may have been a problem."""
    items = read(data, format, field)
    assert [item for item in items if item.problem] == []
    return [(item.id, item.line) for item in items]


def ids_of(data: bytes, format: str = "auto") -> list[str]:
    return [item_id for item_id, _ in pairs(data, format)]


def outcome(source: Source) -> tuple[list[Item], str]:
    """All items until the end or an error, and that error."""
    items: list[Item] = []
    try:
        while some := source.take(3):
            items += some
    except WorkerError as error:
        return items, f"{type(error).__name__}: {error}"
    return items, ""


# --- plain lines ----------------------------------------------------------------------------------


def test_each_line_is_an_id_with_its_number() -> None:
    assert pairs(b"a1\nb_2\nC-3\n") == [("a1", 1), ("b_2", 2), ("C-3", 3)]


def test_a_last_line_without_its_newline_counts() -> None:
    assert pairs(b"a\nb") == [("a", 1), ("b", 2)]


def test_blank_lines_and_comments_are_skipped_and_counted() -> None:
    assert pairs(b"\n  \n# note\n \t# note\na\n\xc2\xa0\n#\nb\n") == [("a", 5), ("b", 8)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_end_of_line_is_known(end: bytes) -> None:
    assert pairs(end.join([b"a", b"", b"b", b""])) == [("a", 1), ("b", 3)]


def test_blanks_around_an_id_are_taken_off_also_those_that_only_copying_brings() -> None:
    text = " a\t\n\u00a0b\u2003\n\ufeffc\u200b\n"
    assert ids_of(text.encode()) == ["a", "b", "c"]


def test_quotes_commas_and_formulas_around_an_id_are_taken_off() -> None:
    written = ['"a"', "'b'", "c,", "d;;", '"e",', '="f"', "\u202ag\u200e\u00ad"]
    assert ids_of("\n".join(written).encode()) == list("abcdefg")
    assert ids_of(b'id;n\n"=""a""";x\n\'b\';y\n') == ["a", "b"]
    assert [item.id for item in read(b'a\nb,c\n,d\n"e\n') if item.problem] == ["b,c", ",d", '"e']


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"5.12E+23", "its digits are lost"),
        (b"https://x.y/z", "a web address"),
        (b"----------", "It is a ruler"),
        (b"_", "It is a ruler"),
    ],
)
def test_a_line_that_held_an_id_once_says_what_became_of_it(line: bytes, said: str) -> None:
    assert said in (read(b"ok\n" + line)[1].problem or "")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_byte_order_mark_is_taken_off_and_names_the_encoding(encoding: str) -> None:
    marks = {"utf-16-be": codecs.BOM_UTF16_BE, "utf-32-be": codecs.BOM_UTF32_BE}
    mark = marks.get(encoding, b"")
    assert pairs(mark + "a\r\nb\r\n".encode(encoding)) == [("a", 1), ("b", 2)]


def test_no_input_gives_no_items() -> None:
    source = source_of(b"")
    assert not source.exhausted
    assert source.take(5) == []
    assert source.exhausted


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"../clients/x?y", "contains '.'"),
        (b"a b", "contains ' '"),
        ("café".encode(), r"contains '\xe9'"),
        (b"a\0b", "NUL"),
        (b"a\xffb", "not UTF-8"),
        (b"a" * 129, "at most 128 characters, this one has 129"),
    ],
)
def test_what_cannot_be_an_id_becomes_an_item_that_says_why(line: bytes, said: str) -> None:
    first, odd, last = read(b"ok\n" + line + b"\nok2\n")
    assert (first.id, last.id, odd.line) == ("ok", "ok2", 2)
    assert said in (odd.problem or "")


def test_the_text_of_an_invalid_id_is_kept_cut_and_can_be_written() -> None:
    texts = [b"caf\xe9", b"." * 500, b"\xff" * 500]
    items = read(b"ok\n" + b"\n".join(texts))
    assert [item.id for item in items[1:]] == [r"caf\xe9", "." * 200, r"\xff" * 50]


def test_a_line_of_any_length_is_read_in_little_memory() -> None:
    pieces = [b"ok\n", *[b"z" * 65536] * 1000, b"\nok2\n"]
    source = open_source("-", stdin=Pieces(iter(pieces)))
    tracemalloc.start()
    try:
        items = drained(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(item.id[:3], item.line) for item in items] == [("ok", 1), ("zzz", 2), ("ok2", 3)]
    assert "longer than 1048576 bytes" in (items[1].problem or "")
    assert peak < 20e6


@pytest.mark.parametrize("format", ["lines", "csv", "jsonl"])
def test_a_line_too_long_to_be_kept_is_never_taken_for_its_beginning(format: str) -> None:
    beginning = {"lines": b"ok\nabc", "csv": b"id\nok\nabc", "jsonl": b'"ok"\n"abc"'}[format]
    first, long = read(beginning + b" " * (1 << 20) + b"more\n", format)
    assert (first.id, bool(long.problem)) == ("ok", True)


# --- CSV ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header(delimiter: str) -> None:
    text = f"name{delimiter}id{delimiter}note\nAnn{delimiter}a1{delimiter}x\n"
    assert pairs(text.encode()) == [("a1", 2)]


def test_quoted_cells_may_hold_delimiters_quotes_and_newlines() -> None:
    data = b'note,id\n"a, ""b""\nsecond line",x1\r\n"","x2"\n'
    assert pairs(data) == [("x1", 2), ("x2", 4)]


def test_a_table_of_one_column_is_known_by_its_header() -> None:
    assert pairs(b"id\na\n") == [("a", 2)]
    assert pairs(b'"session"\na\n', field="session") == [("a", 2)]


def test_blank_rows_and_comments_are_skipped() -> None:
    assert pairs(b'# from "x, "y\n\nid,n\n,\n#a,1\n"",\nb,2\n', "csv") == [("b", 7)]


def test_a_missing_column_is_an_error_that_names_those_there_are_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        read(b"name,Session ID\nAnn,a\n", "csv", "session_id")
    assert "no column is called 'session_id'; the columns are 'name', 'Session ID'" in str(
        caught.value
    )
    assert "--field 'Session ID'" in caught.value.advice


def noticed(data: bytes, format: str = "auto") -> tuple[list[str], list[str]]:
    """The ids and the notes at the end; no line may have been a problem."""
    source = source_of(data, format)
    items = drained(source)
    assert [item for item in items if item.problem] == []
    return [item.id for item in items], source.notes


@pytest.mark.parametrize("name", ["ID", "Id", '"iD"'])
def test_a_column_in_other_letters_is_taken_where_there_is_one_such(name: str) -> None:
    ids, [note] = noticed(f"n;{name}\n1;a\n".encode())
    assert ids == ["a"]
    assert note == f"The column '{name.strip(chr(34))}' is taken for 'id'"
    assert noticed(b"ID,id\nx,a\n") == (["a"], [])
    with pytest.raises(UsageError, match="no column is called 'id'"):
        read(b"ID,Id\nx,a\n")


def test_the_header_in_the_midst_is_skipped_and_counted() -> None:
    ids, notes = noticed(b"n,id\n1,a\nn,id\n2,b\n\xef\xbb\xbfn, id \n3,c\n")
    assert (ids, notes) == (["a", "b", "c"], ["2 lines that equal the header were skipped"])


def test_the_header_of_another_table_in_the_midst_is_reported() -> None:
    first, other = read(b"n,id\n1,a\nm,id\n")
    assert (first.id, other.id, other.line) == ("a", "m,id", 3)
    assert other.problem == "It is a header, and another one than that of the file"


@pytest.mark.parametrize("word", ["Session ID", "session_id", '"uuid"', "IDs,"])
def test_a_lone_header_word_above_ids_is_skipped_with_a_notice(word: str) -> None:
    ids, [note] = noticed(f"{word}\na\nb\n{word}\nc\n".encode())
    assert ids == ["a", "b", "c"]
    assert "was skipped, 2 times: it is no id" in note
    assert ids_of(b"session_id\na\n", "lines") == ["session_id", "a"]


def test_a_table_without_a_header_is_told_so_and_no_id_is_made_one() -> None:
    with pytest.raises(UsageError, match="it has no header: line 1 reads like data") as caught:
        read(b"5eb2b61e02df0a0008f1cf2b\n5eb2b61e02df0a0008f1cf2c\n", "csv")
    assert "--format lines" in caught.value.advice
    with pytest.raises(UsageError, match="it has no header") as caught:
        read(b"Ann,5eb2b61e02df0a0008f1cf2b\n", "csv")
    assert "with 'id' over the ids" in caught.value.advice


@pytest.mark.parametrize("delimiter", [";", ",", "\t", ":"])
def test_a_first_line_that_names_the_delimiter_is_obeyed(delimiter: str) -> None:
    data = f"sep={delimiter}\r\nn{delimiter}id\r\nx|y{delimiter}a\r\n".encode()
    assert pairs(data) == [("a", 3)]
    assert pairs(b"\xef\xbb\xbf" + data, "csv") == [("a", 3)]


def test_a_row_that_begins_with_a_hash_is_one_where_it_has_an_id() -> None:
    assert ids_of(b"n,id\n#1,a\n# a comment\n#,\n#x,y,z\n2,b\n", "csv") == ["a", "b"]
    assert ids_of(b"id,n\n#a,1\nb,2\n") == ["b"]


@pytest.mark.parametrize("cell", ["a ", '"a "', ' "a"', '="a"', "\xa0a"])
def test_a_row_that_begins_with_a_hash_may_have_its_id_wrapped(cell: str) -> None:
    assert ids_of(f"n,id\n#1,{cell}\n#2,{cell}b\n".encode(), "csv")[0] == "a"


def test_a_name_broken_over_lines_is_a_name() -> None:
    assert pairs(b'id,"full\nname"\na,x\n') == [("a", 3)]
    assert pairs(b'n,"Session\nID"\nx,a\n', "csv", "Session ID") == [("a", 3)]


def test_two_columns_of_the_same_name_are_an_error() -> None:
    with pytest.raises(UsageError, match="2 columns are called 'id'"):
        read(b"id,id\na,b\n")


def test_a_row_without_its_id_becomes_an_item_that_says_so() -> None:
    short, empty, fine = read(b"name,id\nAnn\nBob,\nCy,c\n")
    assert (short.id, short.line) == ("Ann…", 2)
    assert "1 of 2 cells" in (short.problem or "")
    assert (empty.id, empty.problem) == ("Bob,", "The id is empty")
    assert (fine.id, fine.problem) == ("c", None)


@pytest.mark.parametrize("rows_after", [2, 1500])
def test_a_quote_that_is_never_closed_spoils_its_own_line_only(rows_after: int) -> None:
    rows = "".join(f"b{row},x\n" for row in range(rows_after))
    spoilt, *others = read(f'id,note\na,"oops\n{rows}'.encode())
    assert (spoilt.id, spoilt.line) == ('a,"oops', 2)
    assert "not closed" in (spoilt.problem or "")
    assert [item.id for item in others] == [f"b{row}" for row in range(rows_after)]
    assert others[-1].line == rows_after + 2


def test_a_quote_that_closes_amid_the_text_of_another_line_spoils_its_own_line_only() -> None:
    amiss, b1, unclosed, d1 = read(b'id,note\nA1,"hello\nB1,x\nC1,"bye\nD1,y\n')
    assert (amiss.id, amiss.line) == ('A1,"hello', 2)
    assert "where it closes, lines below, text follows" in (amiss.problem or "")
    assert "not closed" in (unclosed.problem or "")
    assert (b1, d1) == (Item("B1", 3), Item("D1", 5))


def test_a_quote_amid_the_text_of_one_line_does_no_harm() -> None:
    data = b'id,note\nA1,27" wide\nB1,"27" wide"\nC1,"a "b" c",x\nD1,"two\nlines"\n'
    assert ids_of(data) == ["A1", "B1", "C1", "D1"]


@pytest.mark.parametrize(
    ("data", "taken", "reported"),
    [
        (b'id,n\nA1,"27 in\nB1,x\nC1,ok"\nD1,y\n', [("A1", 2), ("D1", 5)], [3, 4]),
        (b'id,n\nA1,x"\nB1,"a\nC1,"\nD1,1\n', [("A1", 2), ("B1", 3), ("D1", 5)], [4]),
        (b'n,id\n"x,A1\ny,B1\nz",C1\n', [("C1", 2)], [2, 3]),
        (b'id,"n\nA1,x\nB1,"\nC1,y\n', [("C1", 4)], [2, 3]),
        (b'id,n\n"A1\nB1,x\n",y\nC1,z\n', [("C1", 5)], [2, 3]),
    ],
)
def test_a_row_that_a_stray_quote_has_swallowed_is_reported_and_not_taken(
    data: bytes, taken: list[tuple[str, int]], reported: list[int]
) -> None:
    items = read(data)
    assert [(item.id, item.line) for item in items if not item.problem] == taken
    assert [item.line for item in items if item.problem] == reported


def test_a_swallowed_row_names_the_line_where_its_quote_opens() -> None:
    _, swallowed = read(b'id,note\nA1,"27 inch\nB1,ok"\n')
    assert (swallowed.id, swallowed.line) == ('B1,ok"', 3)
    assert swallowed.problem == (
        "It stands within a quoted cell of the row that begins on line 2: mend the quotes"
    )


def test_lines_of_a_note_that_only_resemble_rows_are_no_rows() -> None:
    data = b'id,note\nA1,"Dear Ann,\nA1, yours, is done,\nlonger, alas\nB1\n"\nC1,x\n'
    assert ids_of(data) == ["A1", "C1"]


def test_a_header_that_never_ends_is_an_error() -> None:
    with pytest.raises(UsageError, match="line 1 is not the header of a CSV file"):
        read(b'"id,name\na,b\n', "csv")


def test_a_table_of_a_spreadsheet_program_in_utf16_is_read() -> None:
    assert pairs("name\tid\r\nÄnn\ta1\r\n".encode("utf-16")) == [("a1", 2)]


# --- JSON Lines -----------------------------------------------------------------------------------


def test_objects_and_strings_hold_ids() -> None:
    assert pairs(b'{"id":"a","n":1}\n\n# note\n"b"\n') == [("a", 1), ("b", 4)]


def test_another_key_can_hold_the_id() -> None:
    assert pairs(b'{"session":" a "}\n', field="session") == [("a", 1)]


def test_a_results_log_can_be_fed_back() -> None:
    record = {"id": "a", "outcome": "failed", "error": {"type": "timeout", "message": ""}}
    assert pairs(json.dumps(record).encode() + b"\n") == [("a", 1)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id":"a"', "not JSON"),
        (b'{"id":"a"},', "not JSON"),
        (b'{"id":"\xff"}', "not JSON"),
        (b'{"id":"\\ud800"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"name":"a"}', "no key 'id'"),
        (b'{"id":5}', "holds a number"),
        (b'{"id":null}', "holds null"),
        (b'{"id":["a"]}', "holds a JSON array"),
        (b'{"id":""}', "empty"),
        (b'["a"]', "is a JSON array"),
        (b"true", "is true or false"),
        (b'{"id":"a/b"}', "contains '/'"),
    ],
)
def test_a_line_without_an_id_becomes_an_item_that_says_why(line: bytes, said: str) -> None:
    first, odd, last = read(b'"ok"\n' + line + b'\n"ok2"\n', "jsonl")
    assert (first.id, last.id, odd.line) == ("ok", "ok2", 2)
    assert said in (odd.problem or "")
    assert odd.id


API_LIST = {"page": 1, "totalItems": 1, "items": [{"id": "a", "status": "started"}]}


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b'["a","b"]', ".[]"),
        (b'[\n "a"\n]', ".[]"),
        (b' [{"id":"a"}]', ".[]"),
        (b'{\n "id":1\n}', "."),
        (b"{\n", ".items[]? // ."),
        (json.dumps({"id": "a", "tasks": [1]}, indent=2).encode(), "."),
        (json.dumps({"sessions": [{"id": "a"}]}, indent=2).encode(), ".sessions[]"),
        (json.dumps({"sessions": [{"id": "a"}]}).encode(), ".sessions[]"),
        (json.dumps({"a page": [{"id": "a"}]}).encode(), ".[] | arrays[]"),
        (json.dumps({"5eb2b61e02df0a0008f1cf2b": {}}, indent=2).encode(), "keys[]"),
        (json.dumps(API_LIST).encode(), ".items[]"),
        (b"\n".join([json.dumps(API_LIST).encode()] * 2), ".items[]"),
        (b'{"items":[]}', ".items[]"),
        (json.dumps(API_LIST, indent=2).encode(), ".items[]"),
    ],
)
def test_one_json_value_over_many_lines_is_an_error_that_says_how_to_turn_it(
    data: bytes, wanted: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(f"jq -c '{wanted}' FILE")):
        read(data)


def test_lists_in_json_lines_with_another_key_do_not_make_them_one_value() -> None:
    with pytest.raises(UsageError, match="has no key 'id'"):
        read(b'{"session":"a","checks":["x"]}\n{"session":"b","checks":["x"]}\n', "jsonl")


# --- gzip -----------------------------------------------------------------------------------------


def test_gzip_is_told_by_its_first_bytes_whatever_its_members_and_padding() -> None:
    packed = gzip.compress(b"id,n\na,1\nb") + gzip.compress(b"") + gzip.compress(b"c,2\n")
    assert pairs(packed + b"\0" * 512) == [("a", 2), ("bc", 3)]


def test_a_gzip_that_is_cut_off_gives_what_it_has_and_then_the_error_once() -> None:
    lines = b"".join(b"%08x\n" % (n * 2654435761 % 2**32) for n in range(50_000))
    source = source_of(gzip.compress(lines)[:-20_000])
    items, error = outcome(source)
    assert 1000 < len(items) < 50_000
    assert error.startswith("SourceError: stdin cannot be read after line ")
    assert f"after line {items[-1].line}: its gzip data ends too early" in error
    assert source.take(1) == []
    assert not source.exhausted


@pytest.mark.parametrize("packed", [b"\x1f\x8bnonsense", gzip.compress(b"a\nb\n", mtime=0)[:11]])
def test_a_gzip_of_which_nothing_can_be_read_is_wrong_usage(packed: bytes) -> None:
    with pytest.raises(UsageError, match="its gzip data"):
        source_of(packed).take(1)


def test_a_gzip_that_swells_is_unpacked_in_little_memory() -> None:
    source = source_of(gzip.compress(b"#" * 60_000_000 + b"\na\n", 1))
    tracemalloc.start()
    try:
        assert [item.id for item in drained(source)] == ["a"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_garbage_after_a_gzip_is_no_silent_end() -> None:
    items, error = outcome(source_of(gzip.compress(b"a\n") + b"b\n"))
    assert [item.id for item in items] == ["a"]
    assert error.startswith(SourceError.__name__)


# --- whether there are ids at all ----------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 99, 100])
def test_a_source_without_any_id_among_its_first_lines_is_wrong_usage(most: int) -> None:
    source = source_of(b"no id\n" * most)
    with pytest.raises(UsageError, match="can be an id") as caught:
        source.take(1)
    assert str(caught.value).count("line ") == min(most, 3)
    assert "line 1, 'no id': An id has only letters" in str(caught.value)
    assert source.take(1) == []


def test_one_id_among_the_first_hundred_lines_will_do() -> None:
    assert len(read(b"no id\n" * 99 + b"a\n" + b"no id\n" * 500)) == 600
    with pytest.raises(UsageError, match="none of the first 100 lines can be an id"):
        read(b"no id\n" * 100 + b"a\n")


@pytest.mark.parametrize("secret", ["API_KEY: live_abcdefgh", "Bearer abc.def", "x://u:pw@h/"])
def test_a_line_that_may_hold_a_key_is_not_shown(secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(f"no id\n{secret}\n".encode())
    assert secret not in str(caught.value)
    assert "'no id'" in str(caught.value)


# --- what is no text -----------------------------------------------------------------------------


def archive(name: str, content: bytes = b"x", mode: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", mode) as file:
        file.writestr(name, content)
    return packed.getvalue()


def tarball() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.addfile(tarfile.TarInfo("ids.txt"))
    return packed.getvalue()


NOT_TEXT = [
    (archive("[Content_Types].xml"), "an Excel workbook", "CSV"),
    (archive("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), "OpenDocument", "CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "workbook of the old", "CSV"),
    (archive("ids.txt"), "a zip archive", "unzip -p"),
    (bz2.compress(b"a\n"), "bzip2", "bzip2 -dc"),
    (lzma.compress(b"a\n"), "xz", "xz -dc"),
    (b"\x28\xb5\x2f\xfd\x24\x02", "zstd", "zstd -dc"),
    (gzip.compress(gzip.compress(b"a\n", mtime=0), mtime=0), "gzip within gzip", "gzip -dc"),
    (tarball(), "a tar archive", "tar -xOf"),
    (gzip.compress(tarball(), mtime=0), "a tar archive", "tar -xOf"),
    (b"%PDF-1.7\n%\xe2\xe3", "a PDF", "Export"),
    (b"PAR1\x15\x04\x15", "a Parquet file", "Export"),
    (b"SQLite format 3\0\x10", "an SQLite database", "Export"),
    (b"Obj\x01\x04\x16avro.schema", "an Avro file", "Export"),
    (b"\x89PNG\r\n\x1a\n", "an image", "Export"),
    (b"<!DOCTYPE html>\n<p>", "a page of HTML", "Export"),
    (b'\xef\xbb\xbf<?xml version="1.0"?>', "XML", "Export"),
    (b"-----BEGIN PGP MESSAGE-----\n", "encrypted", "gpg -d"),
    ("abc\n".encode("utf-16-le"), "UTF-16LE", "iconv -f UTF-16LE"),
    ("abc\n".encode("utf-16-be"), "UTF-16BE", "iconv -f UTF-16BE"),
    ("abc\n".encode("utf-32-le"), "UTF-32LE", "iconv -f UTF-32LE"),
    ("abc\n".encode("utf-32-be"), "UTF-32BE", "iconv -f UTF-32BE"),
]


@pytest.mark.parametrize(
    ("data", "kind", "advice"),
    NOT_TEXT,
    ids=[f"{number}-{it[1]}" for number, it in enumerate(NOT_TEXT)],
)
@pytest.mark.parametrize("format", ["auto", "csv"])
def test_what_is_no_text_is_named_with_what_makes_ids_of_it(
    data: bytes, kind: str, advice: str, format: str
) -> None:
    pieces = (data[at : at + 1] for at in range(len(data)))
    for source in (source_of(data, format), open_source("-", stdin=Pieces(pieces), format=format)):
        with pytest.raises(UsageError, match=kind) as caught:
            source.take(1)
        assert advice in caught.value.advice


def test_an_id_may_begin_as_a_file_of_another_kind_does() -> None:
    written = ["PAR1", "BZh9", "PK", "GIF89a", "ORC", "Obj", "LZIP", "7z", "Rar"]
    for first in written:
        assert ids_of(f"{first}\nabc\n".encode()) == [first, "abc"]


# --- properties -----------------------------------------------------------------------------------


@given(JUMBLE, FORMATS)
def test_no_input_breaks_it_and_every_item_can_be_recorded(data: bytes, format: str) -> None:
    items, _ = outcome(source_of(data, format))
    lines = [item.line for item in items]
    assert lines == sorted(lines)
    for item in items:
        assert msgspec.json.decode(msgspec.json.encode(item), type=Item) == item
        assert len(item.id) <= 200
        assert (item.problem is None) == bool(is_valid_id(item.id))


@given(JUMBLE, FORMATS, st.lists(st.integers(0, 200), max_size=20))
def test_it_does_not_matter_how_the_bytes_are_cut(
    data: bytes, format: str, cuts: list[int]
) -> None:
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges) if data[a:b]]
    cut = open_source("-", format=format, stdin=Pieces(iter(pieces)))
    assert outcome(cut) == outcome(source_of(data, format))


@given(JUMBLE)
def test_each_line_that_counts_gives_exactly_one_item(data: bytes) -> None:
    data = b"first\n" + data
    texts = re.split(r"\r\n|\r|\n", data.decode("utf-8", "surrogateescape"))
    stripped = [text.strip(BLANKS) for text in texts]
    expected = [n for n, text in enumerate(stripped, 1) if text and not text.startswith("#")]
    assert [item.line for item in read(data, "lines")] == expected


@given(st.lists(IDS))
def test_ids_survive_every_format(written: list[str]) -> None:
    lines = "".join(f"{text}\n" for text in written).encode()
    objects = "".join(json.dumps({"id": text}) + "\n" for text in written).encode()
    assert ids_of(lines, "lines") == written
    assert ids_of(gzip.compress(lines), "lines") == written
    assert ids_of(b"id\n" + lines) == written
    assert ids_of(objects, "jsonl") == written


NOTES = st.sampled_from(
    ["x", "", '"', '""', '"""', '"hello', 'bye"', '27" wide', '"27" wide"', '"ok"', '"a,b"', ' "c']
)


@given(st.lists(NOTES, max_size=12), st.booleans(), st.sampled_from(["", "\n", "\n\n# x\n"]))
def test_no_row_of_a_table_is_lost_wherever_quotes_stand(
    notes: list[str], id_first: bool, between: str
) -> None:
    ids = [f"{chr(ord('A') + number)}1" for number in range(len(notes))]
    cells = [("id", "note"), ("ok", "ok"), *zip(ids, notes, strict=True)]
    rows = [",".join(pair if id_first else pair[::-1]) for pair in cells]
    items = read(f"\n{between}".join(rows).encode())
    step = 1 + between.count("\n")
    taken = {item.id for item in items if item.problem is None}
    reported = {item.line for item in items if item.problem}
    assert len(taken) == sum(item.problem is None for item in items)
    assert taken <= {"ok", *ids}
    for number, written in enumerate(ids, 2):
        assert written in taken or 1 + number * step in reported


def _has_a_line_like_a_row(note: str) -> bool:
    return re.search(r"[\r\n].*[,;\t|]", note) is not None


@given(
    st.lists(st.tuples(IDS, st.text().filter(lambda note: not _has_a_line_like_a_row(note)))),
    st.sampled_from(",;\t|"),
)
def test_ids_survive_beside_any_other_cells(rows: list[tuple[str, str]], delimiter: str) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "note"), *rows])
    data = table.getvalue().encode("utf-8", "surrogatepass")
    assert ids_of(data, "csv") == [written for written, _ in rows]
