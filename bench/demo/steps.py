"""The steps of the demo. Each does one thing through the commands, and checks what came of it."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.demo.guest import DemoGuest, read_file, replay_journal, write_file
from bench.demo.site import STORE, Site, check
from bench.demo.template import build_template

MIB = 1 << 20
CLONES = 100
CLONE_OVERHEAD_MAX = 1 * MIB
"""Bytes that all clones together may add to the store."""
CHANGE_BYTES = 20 * MIB
CHANGE_SENT_MAX = 24 * MIB
"""The change, and what of the file system's own tables shares blocks with it."""
SECOND_USER_BYTES_MAX = 2 * MIB
RECORDS = 150
RECORDS_BEFORE_CRASH = (25, 70)

WRITER = (
    "(n=0; while [ $n -lt {count} ]; do n=$((n+1)); printf '%-4095s\\n' \"record $n\" |"
    " dd of=/root/records bs=4096 seek=$((n-1)) iflag=fullblock conv=notrunc,fsync status=none"
    ' || exit 1; echo "on disk: $n."; done); echo writer-$?-ended'
)
"""Each record in a page of its own, so that nothing that was lost is written again later."""


@dataclass
class Sale:
    """What the steps pass on."""

    site: Site
    folder: Path
    cache: Path
    template: Path = Path()
    sizes: dict[str, int] = field(default_factory=dict)


def say(text: str) -> None:
    print(f"   {text}", flush=True)


def mib(size: float) -> str:
    return f"{size / MIB:.1f} MiB"


def make_template(sale: Sale) -> None:
    """Make a template of real Debian packages, bootable, without root"""
    sale.template = sale.folder / "template.raw"
    build_template(sale.template, sale.cache)
    stat = sale.template.stat()
    say(f"{mib(stat.st_size)} disk, {mib(stat.st_blocks * 512)} of it not holes")


def upload_template(sale: Sale) -> None:
    """Alice uploads it by its hashes, and registers it as an image"""
    site = sale.site
    site.add_user("alice")
    site.kamaki("alice", "container", "create", "images")
    first = _upload(sale, "alice", sale.template, "images/template.raw")
    again = _upload(sale, "alice", sale.template, "images/same.raw")
    check(again["sent"] == 0, f"sent {again['sent']} bytes that were there")
    check(first["sent"] + first["zeros"] + first["already_there"] == first["total"], str(first))
    site.kamaki("alice", "image", "register", "template", "images/template.raw")
    sale.sizes["template sent"] = first["sent"]


def create_volumes(sale: Sale) -> None:
    """Create 100 volumes from the image"""
    site = sale.site
    before, started = site.disk_bytes(STORE), time.monotonic()
    site.archipelago("volume", "create", "web", "--image", "template", "--count", str(CLONES))
    seconds, added = time.monotonic() - started, site.disk_bytes(STORE) - before
    volumes = site.archipelago_json("volume", "list", "web-")
    check(len(volumes) == CLONES, f"{len(volumes)} volumes instead of {CLONES}")
    check(added <= CLONE_OVERHEAD_MAX, f"{CLONES} clones took {added} bytes")
    virtual = sum(volume["size"] for volume in volumes)
    say(f"{CLONES} volumes, {mib(virtual)}, in {seconds:.2f} s (the whole command)")
    say(f"bytes added to the store: {added}, {added // CLONES} for each")


def boot_two(sale: Sale, one: DemoGuest, two: DemoGuest) -> None:
    """Boot two of them; each writes its name on its own disk"""
    started = time.monotonic()
    for guest in (one, two):
        guest.prompt()
    say(f"both are up after {time.monotonic() - started:.1f} s")
    say(sale.site.accelerator().removeprefix("archipelago: "))
    for guest in (one, two):
        guest.run(f"echo {guest.volume} > /root/name; sync")
    say(f"kernel {one.output('uname -r')}, disk {one.output('df -h / | tail -1')}")
    two.power_off()
    say(f"{two.volume} is shut down, {one.volume} runs on")


def snapshot_running(sale: Sale, one: DemoGuest, two: DemoGuest) -> None:
    """Snapshot the running one, publish it, download it, and look inside"""
    site, name = sale.site, f"{one.volume}@live"
    started = time.monotonic()
    site.archipelago("snapshot", "create", name)
    say(f"snapshot {name} in {time.monotonic() - started:.2f} s, as the machine runs")
    one.run("echo later > /root/later; sync")
    published = site.archipelago("snapshot", "publish", name, "--user", "alice").strip()
    copy = sale.folder / "snapshot.raw"
    site.kamaki("alice", "file", "download", published, str(copy))
    replay_journal(copy)
    expected = f"{one.volume}\n".encode()
    check(read_file(copy, "/root/name") == expected, "the snapshot lacks the guest's file")
    check(read_file(copy, "/root/later") is None, "the snapshot has a file written after it")
    say(f"downloaded {published}: it has /root/name, and not what was written later")
    copy.unlink()
    site.wait_released(two.volume)
    other = sale.folder / "other.raw"
    site.archipelago("volume", "export", two.volume, str(other))
    found = read_file(other, "/root/name")
    check(found == f"{two.volume}\n".encode(), f"{two.volume} has {found!r}")
    check(read_file(sale.template, "/root/name") is None, "the template was changed")
    other.unlink()
    fresh = sale.folder / "fresh.raw"
    site.archipelago("volume", "export", "web-003", str(fresh))
    check(_digest(fresh) == _digest(sale.template), "an untouched clone is not the template")
    fresh.unlink()
    say(f"{two.volume} has its own name in it, the template has none, web-003 is the template")


def second_version(sale: Sale) -> None:
    """Change 20 MB of the template, upload again, boot a clone of the new version"""
    site, second = sale.site, sale.folder / "template-2.raw"
    shutil.copyfile(sale.template, second)
    news = sale.folder / "news"
    news.write_bytes(random.Random(2).randbytes(CHANGE_BYTES))
    write_file(second, news, "/news")
    sent = _upload(sale, "alice", second, "images/template-2.raw")["sent"]
    check(CHANGE_BYTES <= sent <= CHANGE_SENT_MAX, f"a change of 20 MiB sent {mib(sent)}")
    site.kamaki("alice", "image", "register", "template-2", "images/template-2.raw")
    site.archipelago("volume", "create", "new", "--image", "template-2")
    with DemoGuest(site, "new") as guest:
        guest.prompt()
        seen = guest.output("sha256sum /news").split()[0]
        check(seen == _digest(news), "the guest sees other bytes in /news")
        guest.power_off()
    say("a clone of template-2 boots and sees the new file")
    second.unlink()


def crash(sale: Sale, one: DemoGuest) -> None:
    """Kill every server process under a guest that writes, twice"""
    site = sale.site
    one.console.send_line(WRITER.format(count=RECORDS))
    for record in RECORDS_BEFORE_CRASH:
        one.console.expect(rf"on disk: {record}\.".encode(), 120)
        killed = site.crash()
        started = time.monotonic()
        site.start()
        say(
            f"killed {killed} processes with SIGKILL after record {record};"
            f" served again after {time.monotonic() - started:.1f} s"
        )
    ended = one.console.expect(rb"writer-(\d+)-ended", 180)
    check(ended[1] == b"0", "the guest's writer failed")
    one.power_off()
    site.wait_released(one.volume)
    disk = sale.folder / "crashed.raw"
    site.archipelago("volume", "export", one.volume, str(disk))
    replay_journal(disk)
    records = (read_file(disk, "/root/records") or b"").decode().split("\n")[:-1]
    found = [line.strip() for line in records]
    wanted = [f"record {n}" for n in range(1, RECORDS + 1)]
    check(found == wanted, f"{len(set(wanted) - set(found))} acknowledged records are missing")
    disk.unlink()
    say(f"the guest went on; all {RECORDS} records that it was told are on disk are there")


def second_user(sale: Sale) -> None:
    """Bob uploads the same template"""
    site = sale.site
    site.add_user("bob")
    site.kamaki("bob", "container", "create", "images")
    before = site.disk_bytes(STORE)
    sent = _upload(sale, "bob", sale.template, "images/mine.raw")["sent"]
    added = site.disk_bytes(STORE) - before
    check(sent == sale.sizes["template sent"], f"bob sent {sent} bytes: he was told who has them")
    check(added <= SECOND_USER_BYTES_MAX, f"the same content took {added} bytes again")
    say(f"he had to send {mib(sent)}, as if nobody had it; the store grew by {mib(added)}")


def table(sale: Sale) -> None:
    """What it is, and what it takes"""
    info = sale.site.archipelago_json("info")
    logical = info["logical"]
    for kind, size in logical.items():
        say(f"{kind:22s}{mib(size):>16s}")
    total, stored = sum(logical.values()), info["stored_bytes"]
    say(f"{'logical, with holes':22s}{mib(total):>16s}")
    say(f"{'stored, blocks':22s}{mib(info['blocks']['disk_bytes']):>16s}")
    say(f"{'stored, live layers':22s}{mib(info['live_bytes']):>16s}")
    say(f"{'on disk, everything':22s}{mib(sale.site.disk_bytes()):>16s}")
    say(f"{'logical / stored':22s}{total / stored:>14.1f}")


def _upload(sale: Sale, user: str, file: Path, target: str) -> dict[str, int]:
    started = time.monotonic()
    done: dict[str, int] = sale.site.kamaki_json(user, "file", "upload", str(file), target)
    seconds = time.monotonic() - started
    parts = [f"{name.replace('_', ' ')} {mib(done[name])}" for name in ("total", "sent")]
    parts += [f"already there {mib(done['already_there'])}", f"zeros {mib(done['zeros'])}"]
    say(f"{target}: {', '.join(parts)}, in {seconds:.1f} s")
    return done


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
