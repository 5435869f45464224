#!/bin/sh
# Builds the program `jobhook` so that it runs in any image, also in an empty one: `./just static`.
#
#   deploy/build-static.sh FOLDER ARCHITECTURE PROFILE
#
# glibc is linked in. Its resolver of names reads /etc/resolv.conf and /etc/hosts by itself since 2.34; an
# older one would look for libraries that are not there. Paths of this machine do not get into the program.
set -eu

folder=$1
target=$2-unknown-linux-gnu
profile=$3
root=$(cd "$(dirname "$0")/.." && pwd)
built=${CARGO_TARGET_DIR:-$root/target}

if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    echo "Rust's standard library for $target is missing: rustup target add $target" >&2
    exit 69
fi
glibc=$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)
if [ "$(printf '2.34\n%s\n' "$glibc" | sort -V | head -n 1)" != 2.34 ]; then
    echo "This machine has glibc $glibc, and 2.34 or newer is needed to link a resolver in." >&2
    exit 69
fi

RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static --remap-path-prefix=$root=jobhook"
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$crates=crates"
done
export RUSTFLAGS
# The target is named, or the flags would hold for what runs during the build too.
cargo build --locked --profile "$profile" --target "$target" --package jobhook-server --bin jobhook

case $profile in dev) place=debug ;; *) place=$profile ;; esac
program=$built/$target/$place/jobhook
if readelf --program-headers "$program" | grep -q INTERP; then
    echo "$program asks for a dynamic linker: it is not static" >&2
    exit 1
fi
mkdir -p "$folder/data"
install -m 755 "$program" "$folder/jobhook"
# For the image of deploy/jobhook.Dockerfile: the empty "$folder/data", the time zones of schedules, and
# the certificates of this machine, an empty file where it has none.
rm -rf "$folder/zoneinfo"
mkdir "$folder/zoneinfo"
cp -R /usr/share/zoneinfo/. "$folder/zoneinfo" || echo "This machine has no time zones to put into an image." >&2
cat /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt 2>/dev/null \
    >"$folder/ca-certificates.crt" || :
echo "$folder/jobhook: $(wc -c <"$folder/jobhook") bytes, static"
