"""Make a bootable disk image of real Debian packages, without root privileges.

    python -m bench.demo.template OUTPUT.raw [--cache DIR]

A BIOS finds the MBR; partition 1 (FAT) has SYSLINUX, the kernel and a tiny initramfs; partition 2
(ext4) is the root. The guest gives a root shell on its serial console. Needs the Debian tools
syslinux, mtools, dosfstools, e2fsprogs, busybox-static, and once a Debian mirror.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SECTOR = 512
MIB = 1 << 20
IMAGE_BYTES = 1024 * MIB
BOOT_OFFSET = 1 * MIB
BOOT_BYTES = 63 * MIB
ROOT_OFFSET = BOOT_OFFSET + BOOT_BYTES
ROOT_BYTES = IMAGE_BYTES - ROOT_OFFSET

MBR_CODE = Path("/usr/lib/syslinux/mbr/mbr.bin")
KERNEL_PACKAGE = "linux-image-cloud-amd64"
PACKAGES = """
libc6 libc-bin bash coreutils util-linux libblkid1 libmount1 libuuid1 libsmartcols1 libselinux1
libpcre2-8-0 libacl1 libattr1 libgmp10 libtinfo6 libcom-err2 libext2fs2 libss2 e2fsprogs grep sed
findutils tar gzip perl-base libperl5.36 perl-modules-5.36 python3.11-minimal libpython3.11-minimal
libpython3.11-stdlib git tzdata openssl libssl3 libstdc++6 libgcc-s1 zlib1g libexpat1 busybox-static
"""
INITRAMFS_MODULES = ("virtio_pci", "virtio_blk", "ext4")

INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
while [ ! -b /dev/vda2 ]; do /bin/busybox usleep 20000; done
echo '<1>archipelago: root is /dev/vda2' > /dev/kmsg
/bin/busybox mount -t ext4 /dev/vda2 /root || exec /bin/busybox sh
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /sbin/init
"""

ROOT_FILES = {
    "etc/inittab": """::sysinit:/etc/rc.sysinit
ttyS0::respawn:-/bin/bash
::ctrlaltdel:/bin/busybox poweroff
::shutdown:/bin/busybox umount -a -r
""",
    "etc/rc.sysinit": """#!/bin/busybox sh
PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
/bin/busybox mount -t tmpfs tmp /run
/bin/busybox modprobe button
/bin/busybox modprobe evdev
/bin/busybox hostname guest
/bin/busybox acpid -l /dev/null
""",
    "etc/acpi/PWRF/00000080": "#!/bin/busybox sh\nexec /bin/busybox poweroff\n",
    "etc/profile": """export TERM=dumb HOME=/root PATH=/bin:/sbin:/usr/bin:/usr/sbin
stty columns 200
PS1='guest# '
cd /root
""",
    "etc/inputrc": "set enable-bracketed-paste off\n",
    "etc/passwd": "root::0:0:root:/root:/bin/bash\n",
    "etc/group": "root:x:0:\n",
}
EXECUTABLE = {"etc/rc.sysinit", "etc/acpi/PWRF/00000080"}

SYSLINUX_CONFIG = """DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND console=ttyS0 quiet panic=-1
"""


def build_template(output: Path, cache: Path) -> None:
    """Write the image to `output`. Packages, and the finished image, are kept in `cache`."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    finished = cache / f"template-{recipe}.raw"
    if not finished.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            image = Path(work) / "image"
            _build(image, Path(work), _packages(cache))
            image.replace(finished)
    _run("cp", "--sparse=always", str(finished), str(output))


def _build(image: Path, work: Path, packages: list[Path]) -> None:
    root = work / "root"
    _unpack(packages, root)
    _configure(root)
    release = next((root / "usr/lib/modules").iterdir()).name
    _run("busybox", "depmod", "-b", str(root), release)
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
        file.write(_master_boot_record())
    _write_boot_partition(image, work, root, release)
    _run(
        *("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", str(root)),
        *("-E", f"offset={ROOT_OFFSET},lazy_itable_init=0,lazy_journal_init=0"),
        *(str(image), f"{ROOT_BYTES // 1024}k"),
    )


def _packages(cache: Path) -> list[Path]:
    """The package files, downloaded once for each list of packages."""
    wanted = hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]
    folder = cache / f"packages-{wanted}"
    complete = folder / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "-qq", "download", _kernel_package(), *PACKAGES.split(), folder=folder)
        complete.touch()
    return sorted(folder.glob("*.deb"))


def _kernel_package() -> str:
    """The kernel that Debian's metapackage stands for today."""
    shown = _run("apt-cache", "depends", KERNEL_PACKAGE)
    for line in shown.splitlines():
        label, _, name = line.partition("Depends: ")
        if not label.strip() and name.startswith("linux-image-"):
            return name.strip()
    raise SystemExit(f"apt does not know {KERNEL_PACKAGE}; run apt-get update first")


def _unpack(packages: list[Path], root: Path) -> None:
    """Like dpkg -x into a merged /usr, which a plain dpkg -x would undo."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=-1) as reader:
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", root],
                stdin=reader.stdout,
                check=True,
            )
        if reader.returncode:
            raise SystemExit(f"{package} cannot be unpacked")


def _configure(root: Path) -> None:
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "boot"):
        (root / name).mkdir(exist_ok=True)
    for name, text in ROOT_FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name in EXECUTABLE else 0o644)
    for name in ("init", "poweroff", "reboot", "halt"):
        path = root / "usr/sbin" / name
        path.unlink(missing_ok=True)
        path.symlink_to("/bin/busybox")
    shell = root / "usr/bin/sh"
    shell.unlink(missing_ok=True)
    shell.symlink_to("bash")


def _master_boot_record() -> bytes:
    """Boot code, two primary partitions (the first active), signature."""
    entries = _partition(0x80, 0x0E, BOOT_OFFSET, BOOT_BYTES)
    entries += _partition(0x00, 0x83, ROOT_OFFSET, ROOT_BYTES)
    code = MBR_CODE.read_bytes()
    return code.ljust(446, b"\0")[:446] + entries.ljust(64, b"\0") + b"\x55\xaa"


def _partition(active: int, kind: int, offset: int, size: int) -> bytes:
    # The CHS fields say "beyond what CHS can say"; everything since 1995 reads the LBA ones.
    beyond = b"\xfe\xff\xff"
    place = struct.pack("<II", offset // SECTOR, size // SECTOR)
    return bytes([active]) + beyond + bytes([kind]) + beyond + place


def _write_boot_partition(image: Path, work: Path, root: Path, release: str) -> None:
    first_sector = str(BOOT_OFFSET // SECTOR)
    _run(
        *("mkfs.fat", "-F", "16", "-n", "BOOT", f"--offset={first_sector}"),
        *(str(image), str(BOOT_BYTES // 1024)),
    )
    _run("syslinux", "--install", "--offset", str(BOOT_OFFSET), str(image))
    initramfs = work / "initrd.gz"
    initramfs.write_bytes(_initramfs(root, work / "initramfs", release))
    config = work / "syslinux.cfg"
    config.write_text(SYSLINUX_CONFIG)
    target = f"{image}@@{BOOT_OFFSET}"
    _run("mcopy", "-i", target, str(root / f"boot/vmlinuz-{release}"), "::vmlinuz")
    _run("mcopy", "-i", target, str(initramfs), str(config), "::")


def _initramfs(root: Path, folder: Path, release: str) -> bytes:
    for name in ("bin", "dev", "proc", "root", "modules"):
        (folder / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", folder / "bin/busybox")
    (folder / "bin/sh").symlink_to("busybox")
    modules = root / "usr/lib/modules" / release
    order = [modules / path for path in _load_order(modules)]
    for path in order:
        shutil.copy(path, folder / "modules" / path.name)
    (folder / "modules/order").write_text("".join(f"{path.name}\n" for path in order))
    init = folder / "init"
    init.write_text(INIT)
    init.chmod(0o755)
    names = "\n".join(sorted(str(p.relative_to(folder)) for p in folder.rglob("*")))
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc", "-R", "0:0"],
        cwd=folder,
        input=names.encode(),
        capture_output=True,
        check=True,
    ).stdout
    return gzip.compress(packed, compresslevel=6, mtime=0)


def _load_order(modules: Path) -> list[str]:
    """What INITRAMFS_MODULES need, needed ones first; what the kernel has built in is left out."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, deps = line.partition(":")
        needs[path] = deps.split()
    by_name = {Path(path).stem: path for path in needs}
    order: list[str] = []
    for name in INITRAMFS_MODULES:
        if name in by_name:
            for path in [*reversed(needs[by_name[name]]), by_name[name]]:
                if path not in order:
                    order.append(path)
    return order


def _run(*command: str, folder: Path | None = None) -> str:
    # Debian's mke2fs and mkfs.fat are in sbin, which a user's PATH may lack.
    environment = dict(
        os.environ, PATH=f"{os.environ['PATH']}:/usr/sbin:/sbin", MTOOLS_SKIP_CHECK="1"
    )
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is not installed") from None
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("build/demo"))
    options = parser.parse_args()
    build_template(options.output, options.cache)
    print(f"{options.output}: {options.output.stat().st_size >> 20} MiB", file=sys.stderr)


if __name__ == "__main__":
    main()
