import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pithos_api.faults import HttpError
from pithos_api.pithos.hashmap_body import read_hashmap

HEX = "ab" * 32


def status_of(body: bytes) -> int:
    with pytest.raises(HttpError) as caught:
        read_hashmap([body])
    return caught.value.fault.status


@given(
    digests=st.lists(st.binary(min_size=32, max_size=32), max_size=20),
    size=st.integers(min_value=0, max_value=2**63 - 1),
    indent=st.sampled_from([None, 1]),
    piece=st.integers(min_value=1, max_value=200),
    hashes_first=st.booleans(),
)
def test_reads_what_json_writes_however_it_is_cut(digests, size, indent, piece, hashes_first):
    members = [("bytes", size), ("hashes", [d.hex() for d in digests]), ("x", {"y": [1]})]
    body = json.dumps(dict(members[::-1] if hashes_first else members), indent=indent).encode()
    found = read_hashmap(body[i : i + piece] for i in range(0, len(body), piece))
    assert found.size == size
    assert found.digests == digests


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"hashes": []}',
        b'{"hashes": [], "bytes": -1}',
        b'{"hashes": [], "bytes": 1.5}',
        b'{"hashes": [], "bytes": true}',
        b'{"hashes": [], "bytes": "1"}',
        b'{"hashes": [], "bytes": 9223372036854775808}',
        b'{"hashes": [1], "bytes": 1}',
        b'{"hashes": ["xy"], "bytes": 1}',
        b'{"hashes": [""], "bytes": 1}',
        b'{"hashes": "abc", "bytes": 1}',
        b'{"hashes": {"a": 1}, "bytes": 1}',
        b'{"hashes": [], "bytes": 0} trailing',
        b'{"hashes": [], "bytes": 0',
        b'\xff\xfe{"hashes": [], "bytes": 0}',
        f'{{"hashes": ["{HEX}",], "bytes": 1}}'.encode(),
        f'{{"hashes": [,"{HEX}"], "bytes": 1}}'.encode(),
        f'{{"hashes": ["{HEX}" "{HEX}"], "bytes": 1}}'.encode(),
        f'{{"hashes": ["{HEX}00"], "bytes": 1}}'.encode(),
        f'{{"hashes": ["{HEX[:-1]}"], "bytes": 1}}'.encode(),
        f'{{"hashes": ["{HEX}"], "bytes": 1, "hashes": ["{HEX}"]}}'.encode(),
        f'{{"inner": {{"hashes": []}}, "hashes": ["{HEX}"], "bytes": 1}}'.encode(),
        f'{{"inner": {{"hashes": ["{HEX}"]}}, "bytes": 1}}'.encode(),
    ],
)
def test_malformed_is_refused(body):
    assert status_of(body) == 400


def test_the_name_inside_of_a_text_is_no_list():
    text = f'{{"x": "\\"hashes\\": [", "hashes": ["{HEX}"], "bytes": 1}}'
    assert read_hashmap([text.encode()]).digests == [bytes.fromhex(HEX)]


def test_deep_nesting_is_refused():
    assert status_of(b'{"hashes": [], "bytes": 0, "x": ' + b"[" * 60000 + b"]" * 5000 + b"}") == 400


def test_endless_rest_is_refused_before_it_has_come():
    def endless():
        while True:
            yield b" " * 65536

    with pytest.raises(HttpError) as caught:
        read_hashmap(endless())
    assert caught.value.fault.status == 400


def test_endless_hash_is_refused():
    def endless():
        yield b'{"hashes": ["'
        while True:
            yield b"a" * 65536

    with pytest.raises(HttpError) as caught:
        read_hashmap(endless())
    assert caught.value.fault.status == 400


def test_too_many_blocks_are_refused():
    def endless():
        yield b'{"hashes": ["' + HEX.encode() + b'"'
        while True:
            yield (f', "{HEX}"' * 10000).encode()

    with pytest.raises(HttpError) as caught:
        read_hashmap(endless())
    assert caught.value.fault.status == 413
