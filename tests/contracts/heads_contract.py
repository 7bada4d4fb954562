"""What every `interface.Heads` does."""

import random
import threading

import pytest

from blockstore.errors import HeadConflict, StoreUsageError
from blockstore.interface import HEAD_NAME_SIZE_MAX, HEAD_VALUE_SIZE_MAX, HeadChange


class HeadsContract:
    @pytest.fixture
    def heads(self, store_factory):
        store_factory.create()
        return store_factory.open().heads

    def put(self, heads, name, value, expected=0):
        return heads.update([HeadChange(name, expected, value)])[0]

    def test_absent(self, heads):
        assert heads.get("nobody") is None
        assert heads.list() == []

    def test_create_and_get(self, heads):
        version = self.put(heads, "volume", b"value")
        head = heads.get("volume")
        assert version > 0
        assert (head.name, head.version, head.value) == ("volume", version, b"value")

    def test_replace(self, heads):
        first = self.put(heads, "a", b"1")
        second = self.put(heads, "a", b"2", first)
        assert second > first
        assert heads.get("a").value == b"2"

    def test_remove(self, heads):
        version = self.put(heads, "a", b"1")
        assert heads.update([HeadChange("a", version, None)]) == [0]
        assert heads.get("a") is None

    def test_wrong_version_conflicts(self, heads):
        version = self.put(heads, "a", b"1")
        for wrong in (0, version - 1, version + 1):
            if wrong == version:
                continue
            with pytest.raises(HeadConflict) as caught:
                self.put(heads, "a", b"2", wrong)
            assert (caught.value.name, caught.value.found) == ("a", version)
            assert caught.value.expected == wrong
        assert heads.get("a").value == b"1"

    def test_absent_conflicts_with_a_version(self, heads):
        with pytest.raises(HeadConflict) as caught:
            self.put(heads, "a", b"2", 5)
        assert caught.value.found == 0
        with pytest.raises(HeadConflict):
            heads.update([HeadChange("a", 5, None)])

    def test_all_or_nothing(self, heads):
        a = self.put(heads, "a", b"1")
        b = self.put(heads, "b", b"1")
        with pytest.raises(HeadConflict) as caught:
            heads.update(
                [HeadChange("a", a, b"2"), HeadChange("c", 0, b"2"), HeadChange("b", b + 9, b"2")]
            )
        assert caught.value.name == "b"
        assert [(head.name, head.value) for head in heads.list()] == [("a", b"1"), ("b", b"1")]
        assert heads.get("a").version == a

    def test_conflict_names_the_first(self, heads):
        with pytest.raises(HeadConflict) as caught:
            heads.update([HeadChange("y", 3, b""), HeadChange("x", 3, b"")])
        assert caught.value.name == "y"

    def test_batch(self, heads):
        a = self.put(heads, "a", b"1")
        versions = heads.update([HeadChange("a", a, None), HeadChange("b", 0, b"moved")])
        assert versions[0] == 0
        assert heads.get("a") is None
        assert heads.get("b").version == versions[1]

    def test_empty_batch(self, heads):
        assert heads.update([]) == []

    def test_same_name_twice_in_a_batch_is_refused(self, heads):
        with pytest.raises(StoreUsageError):
            heads.update([HeadChange("a", 0, b"1"), HeadChange("a", 0, b"2")])
        assert heads.get("a") is None

    def test_versions_grow_over_removal(self, heads):
        seen = [0]
        for step in range(4):
            version = self.put(heads, "a", b"%d" % step)
            assert version > seen[-1]
            seen.append(version)
            heads.update([HeadChange("a", version, None)])

    def test_versions_grow_over_removal_and_reopening(self, store_factory):
        store_factory.create()
        store = store_factory.open()
        version = self.put(store.heads, "a", b"1")
        store.heads.update([HeadChange("a", version, None)])
        store.close()
        assert self.put(store_factory.open().heads, "a", b"2") > version

    def test_durable_over_reopening(self, store_factory):
        store_factory.create()
        store = store_factory.open()
        version = self.put(store.heads, "a", b"1" * 10000)
        store.close()
        head = store_factory.open().heads.get("a")
        assert (head.version, head.value) == (version, b"1" * 10000)

    def test_visible_to_an_open_store_at_once(self, store_factory):
        store_factory.create()
        one, other = store_factory.open(), store_factory.open()
        version = self.put(one.heads, "a", b"1")
        assert other.heads.get("a").value == b"1"
        self.put(other.heads, "a", b"2", version)
        with pytest.raises(HeadConflict):
            self.put(one.heads, "a", b"3", version)

    @pytest.mark.parametrize("value", [b"", b"\0", b"x" * 100_000])
    def test_any_value(self, heads, value):
        self.put(heads, "a", value)
        assert heads.get("a").value == value

    def test_values_of_the_greatest_size(self, heads):
        value = random.Random(1).randbytes(HEAD_VALUE_SIZE_MAX)
        version = self.put(heads, "a", value)
        assert heads.get("a").value == value
        with pytest.raises(StoreUsageError):
            self.put(heads, "a", value + b"x", version)
        assert heads.get("a").version == version

    @pytest.mark.parametrize(
        "name", ["a", "ü/ñ@漢", " ", "\x01", "x" * HEAD_NAME_SIZE_MAX, "é" * (480 // 2)]
    )
    def test_any_name(self, heads, name):
        self.put(heads, name, b"1")
        assert heads.get(name).name == name
        assert [head.name for head in heads.list()] == [name]

    @pytest.mark.parametrize("name", ["", "a\0b", "x" * 481, "é" * 241, "\ud800"])
    def test_names_that_cannot_be(self, heads, name):
        with pytest.raises(StoreUsageError):
            self.put(heads, name, b"1")
        with pytest.raises(StoreUsageError):
            heads.get(name)

    def test_list_is_in_byte_order(self, heads):
        names = ["b", "a", "ab", "é", "z", "Z", "a/", "a0", "\U0001f600", "\uffff"]
        heads.update([HeadChange(name, 0, name.encode()) for name in names])
        listed = heads.list()
        assert [head.name for head in listed] == sorted(names, key=str.encode)
        assert all(head.value == head.name.encode() for head in listed)

    def test_list_prefix_after_and_limit(self, heads):
        names = [f"p{number:02}" for number in range(10)] + ["o", "q", "p"]
        heads.update([HeadChange(name, 0, b"") for name in names])

        def listed(**arguments):
            found = [head.name for head in heads.list(**arguments)]
            assert heads.names(**arguments) == found
            return found

        assert listed(prefix="p") == ["p", *names[:10]]
        assert listed(prefix="p0", limit=3) == names[:3]
        assert listed(prefix="p", after="p07") == ["p08", "p09"]
        assert listed(after="p09") == ["q"]
        assert listed(prefix="p", after="a", limit=1) == ["p"]
        assert listed(prefix="p", after="q") == []
        assert listed(prefix="p", after="p075") == ["p08", "p09"]
        assert listed(prefix="none") == []
        assert listed(limit=0) == []

    def test_list_by_pages_gives_everything_once(self, heads):
        names = [f"n{number:03}" for number in range(25)]
        heads.update([HeadChange(name, 0, b"") for name in names])
        found, after = [], ""
        while page := heads.list(prefix="n", after=after, limit=7):
            found += [head.name for head in page]
            after = page[-1].name
        assert found == names

    def test_threads_that_count_lose_nothing(self, heads):
        self.put(heads, "counter", b"0")
        failures = []

        def work():
            try:
                for _ in range(10):
                    while True:
                        head = heads.get("counter")
                        value = b"%d" % (int(head.value) + 1)
                        try:
                            heads.update([HeadChange("counter", head.version, value)])
                            break
                        except HeadConflict:
                            pass
            except BaseException as failure:  # noqa: BLE001 - reported by the main thread
                failures.append(failure)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert heads.get("counter").value == b"40"
