#!/bin/sh
# Tests both generations of VWO's SDKs on the shared queue, each in an environment of its own, as
# both install a package called `vwo`. The project is installed from its wheel.
#
#   tests/sdk/run.sh                both
#   tests/sdk/run.sh fme -k fork    one of them, the rest goes to pytest
#
# PYTHON is the interpreter to make the environments with (default python3). Environments are kept
# in .venv-sdk-*, and made anew only when their requirements or the interpreter changed. The legacy
# SDK builds one of its dependencies: it needs a C compiler and Python's headers.
set -eu

cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
PIP_OPTIONS="--quiet --disable-pip-version-check"

case ${1:-} in
    fme | legacy) generations=$1; shift ;;
    *) generations="fme legacy" ;;
esac

# Whether an environment is there and made from what it would be made from now.
is_current() {
    mkdir -p .build
    "$PYTHON" -c 'import sys; print(sys.version, sys.executable)' >".build/sdk-$1"
    cat "tests/sdk/requirements-$1.txt" pyproject.toml >>".build/sdk-$1"
    cmp -s ".build/sdk-$1" ".venv-sdk-$1/made-from"
}

check_compiler() {
    command -v cc >/dev/null || command -v gcc >/dev/null || {
        echo "the legacy SDK needs a C compiler and Python's headers (Debian: apt-get install gcc python3-dev)" >&2
        exit 1
    }
}

build_wheel() {
    rm -rf .build/sdk-wheel
    "$1/bin/pip" wheel $PIP_OPTIONS --no-deps --wheel-dir .build/sdk-wheel .
    ls .build/sdk-wheel/vwo_celery-*.whl
}

make_environment() {
    environment=.venv-sdk-$1
    if [ "$1" = legacy ]; then check_compiler; fi
    echo "making $environment"
    rm -rf "$environment"
    "$PYTHON" -m venv "$environment"
    touch "$environment/wheel-started"
    wheel=$(build_wheel "$environment")
    "$environment/bin/pip" install $PIP_OPTIONS -r "tests/sdk/requirements-$1.txt" "$wheel"
    cp ".build/sdk-$1" "$environment/made-from"
    mv "$environment/wheel-started" "$environment/wheel-installed"
}

refresh_wheel() {
    environment=.venv-sdk-$1
    newer=$(find vwo_celery README.md LICENSE -newer "$environment/wheel-installed" \
        ! -name '*.pyc' ! -name __pycache__ | head -n 1)
    if [ -z "$newer" ]; then return; fi
    touch "$environment/wheel-started"
    wheel=$(build_wheel "$environment")
    "$environment/bin/pip" install $PIP_OPTIONS --force-reinstall --no-deps "$wheel"
    mv "$environment/wheel-started" "$environment/wheel-installed"
}

failed=0
for generation in $generations; do
    if is_current "$generation"; then
        refresh_wheel "$generation"
    else
        make_environment "$generation"
    fi
    echo "== SDK generation: $generation"
    VWO_CELERY_SDK=$generation ".venv-sdk-$generation/bin/pytest" \
        -o pythonpath=tests tests/sdk "$@" || failed=1
done
exit $failed
