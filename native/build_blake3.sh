#!/bin/sh
# Build build/native/libblake3.a from the official C and assembly sources of BLAKE3, as Debian
# ships them in librust-blake3-dev (CC0 or Apache 2.0). Does nothing when the library is there.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out="$root/build/native"
cc=${CC:-cc}

fail() {
    echo "build_blake3: $1" >&2
    exit 1
}

if [ -f "$out/libblake3.a" ] && [ -f "$out/include/blake3.h" ] \
    && [ "$out/libblake3.a" -nt "$0" ]; then
    exit 0
fi
mkdir -p "$out/include" "$out/objects"

find_sources() {
    for candidate in /usr/share/cargo/registry/blake3-*/c \
        "$out"/package/usr/share/cargo/registry/blake3-*/c; do
        if [ -f "$candidate/blake3.c" ]; then
            echo "$candidate"
            return
        fi
    done
}

download() {
    (cd "$out" && apt-get -q -o APT::Sandbox::User=root download librust-blake3-dev >/dev/null 2>&1)
}

sources=$(find_sources)
if [ -z "$sources" ]; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null \
        || fail "no BLAKE3 sources: install librust-blake3-dev (needs apt-get and dpkg to fetch it)"
    # A machine that never asked for the lists of packages knows none.
    download || { [ "$(id -u)" = 0 ] && apt-get update -qq >/dev/null && download; } \
        || fail "cannot download librust-blake3-dev; install it, or run apt-get update"
    dpkg -x "$out"/librust-blake3-dev_*.deb "$out/package" \
        || fail "cannot unpack $out/librust-blake3-dev_*.deb"
    sources=$(find_sources)
    [ -n "$sources" ] || fail "librust-blake3-dev holds no c/blake3.c"
fi

files="blake3.c blake3_dispatch.c blake3_portable.c"
flags="-O3 -fPIC"
case $(uname -m) in
    x86_64)
        for level in sse2 sse41 avx2 avx512; do
            files="$files blake3_${level}_x86-64_unix.S"
        done
        ;;
    aarch64)
        files="$files blake3_neon.c"
        flags="$flags -DBLAKE3_USE_NEON=1"
        ;;
esac

objects=
for file in $files; do
    object="$out/objects/${file%.*}.o"
    # shellcheck disable=SC2086  # the flags are several words
    "$cc" $flags -c "$sources/$file" -o "$object" || fail "cannot compile $sources/$file"
    objects="$objects $object"
done
cp "$sources/blake3.h" "$out/include/blake3.h"
rm -f "$out/libblake3.a.new"
# shellcheck disable=SC2086
ar rcs "$out/libblake3.a.new" $objects || fail "cannot make libblake3.a"
mv "$out/libblake3.a.new" "$out/libblake3.a"
