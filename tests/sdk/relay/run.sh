#!/bin/sh
# Runs VWO's unmodified SDKs of npm and PyPI through the relay, Redis and a Celery worker to the
# stand-in for VWO, and compares what arrives with what each sends by itself.
#
#   tests/sdk/relay/run.sh                   all
#   tests/sdk/relay/run.sh short             a third of it, in about two minutes, as CI runs it
#   tests/sdk/relay/run.sh -k "node and region"   the rest goes to pytest
#
# PYTHON is the interpreter to make the environments with (default python3), JOBS the number of test
# processes (default 2). Each SDK of Python has an environment of its own beside the tests' own, in
# .build/sdk-relay; those of npm are in one node_modules there, each under its own name, with the
# versions of node/package-lock.json. Needs node and npm, a C compiler and Python's headers.
set -eu

cd "$(dirname "$0")/../../.."
PYTHON=${PYTHON:-python3}
HERE=tests/sdk/relay
FOLDER=.build/sdk-relay
TESTS_OWN=.venv-sdk-relay
PIP_OPTIONS="--quiet --disable-pip-version-check --use-pep517"

for program in node npm; do
    command -v "$program" >/dev/null || {
        echo "the SDKs for Node need $program (Debian: apt-get install nodejs npm)" >&2
        exit 1
    }
done

# Whether a folder was made from what it would be made from now: the rest of the arguments.
is_current() {
    made=$1
    shift
    "$PYTHON" -c 'import sys; print(sys.version, sys.executable)' >"$FOLDER/now"
    cat "$@" >>"$FOLDER/now"
    cmp -s "$FOLDER/now" "$made/made-from"
}

note_made() { mv "$FOLDER/now" "$1/made-from"; }

build_wheel() {
    rm -rf "$FOLDER/wheel"
    "$TESTS_OWN/bin/pip" wheel $PIP_OPTIONS --no-deps --wheel-dir "$FOLDER/wheel" .
}

# The tests' own: our wheel as a host of the relay has it, and pytest.
make_own() {
    if ! is_current "$TESTS_OWN" pyproject.toml; then
        echo "making $TESTS_OWN: our wheel with [relay], a Redis server, pytest"
        rm -rf "$TESTS_OWN"
        "$PYTHON" -m venv "$TESTS_OWN"
        build_wheel
        "$TESTS_OWN/bin/pip" install $PIP_OPTIONS "$(ls "$PWD/$FOLDER"/wheel/*.whl)[relay,dev-redis]" \
            pytest pytest-xdist
        touch "$TESTS_OWN/wheel-installed"
        note_made "$TESTS_OWN"
    fi
    newer=$(find vwo_celery README.md LICENSE -newer "$TESTS_OWN/wheel-installed" \
        ! -name '*.pyc' ! -name __pycache__ | head -n 1)
    if [ -n "$newer" ]; then
        touch "$FOLDER/started"
        build_wheel
        "$TESTS_OWN/bin/pip" install $PIP_OPTIONS --force-reinstall --no-deps "$FOLDER"/wheel/*.whl
        mv "$FOLDER/started" "$TESTS_OWN/wheel-installed"
    fi
}

make_python() {
    name=$1
    shift
    echo "$@" >"$FOLDER/wanted"
    if is_current "$FOLDER/$name" "$FOLDER/wanted"; then return; fi
    echo "making $FOLDER/$name: $*"
    rm -rf "${FOLDER:?}/$name"
    "$PYTHON" -m venv "$FOLDER/$name"
    "$FOLDER/$name/bin/pip" install $PIP_OPTIONS "$@"
    note_made "$FOLDER/$name"
}

make_node() {
    mkdir -p "$FOLDER/node"
    cp "$HERE"/node/* "$FOLDER/node"
    if is_current "$FOLDER/node" "$HERE/node/package-lock.json"; then return; fi
    echo "making $FOLDER/node: the SDKs of $HERE/node/package.json, from npm"
    (cd "$FOLDER/node" && npm ci --no-audit --no-fund --silent)
    note_made "$FOLDER/node"
}

mkdir -p "$FOLDER"
make_own
make_node
grep -v '^#' "$HERE/python/packages.txt" | while read -r name requirements; do
    # shellcheck disable=SC2086  # several requirements
    make_python "$name" $requirements
done

if [ "${1:-}" = short ]; then
    shift
    VWO_CELERY_SDK_SHORT=1
    export VWO_CELERY_SDK_SHORT
fi
VWO_CELERY_SDK=relay VWO_CELERY_SDK_ENVIRONMENTS=$PWD/$FOLDER exec "$TESTS_OWN/bin/pytest" \
    -q -n "${JOBS:-2}" -o pythonpath=tests -o testpaths=$HERE "$@"
