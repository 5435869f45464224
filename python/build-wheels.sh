#!/bin/sh
# Builds the release wheels `jobhook` and `jobhook-server` for manylinux2014: `./just wheels`.
#
#   python/build-wheels.sh FOLDER ARCHITECTURE
#
# Zig is the C compiler and the linker, because it links against the glibc of 2014 (2.17)
# on a machine that has a newer one. maturin refuses a wheel that needs more. Paths of this
# machine do not get into the programs.
set -eu

folder=$1
target=$2-unknown-linux-gnu
root=$(cd "$(dirname "$0")/.." && pwd)
# A short job waits for the wheel, in every image that has it. Bytes.
most_jobhook=3000000
most_jobhook_server=14000000

if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    echo "Rust's standard library for $target is missing: rustup target add $target" >&2
    exit 69
fi

RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$root=jobhook"
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$crates=crates"
done
export RUSTFLAGS

build() { # PACKAGE SOURCES MOST_BYTES
    rm -f "$folder/$1"-[0-9]*manylinux*_"${target%%-*}".whl
    (cd "$root/$2" && maturin build --quiet --locked --profile dist --target "$target" \
        --zig --compatibility manylinux2014 --out "$folder")
    wheel=$(echo "$folder/$1"-[0-9]*manylinux2014_"${target%%-*}"*.whl)
    bytes=$(wc -c <"$wheel")
    if [ "$bytes" -gt "$3" ]; then
        echo "$wheel is too large: $bytes bytes, and $3 are allowed" >&2
        exit 1
    fi
    echo "$wheel: $bytes bytes, at most $3 are allowed"
}

build jobhook python "$most_jobhook"
build jobhook_server crates/jobhook-server "$most_jobhook_server"
