#!/bin/sh
# Tests both generations of VWO's SDKs on the shared queue, each in an environment of its own, as
# both install a package called `vwo`. The project is installed from its wheel, beside the SDK, by the
# command that docs/how-to/attach-an-sdk.md tells users. With the FME SDK's tests goes the question
# whether pip still finds what fits beside each SDK (installing/), which asks PyPI.
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
# The SDKs come without wheels; the last option spares older pips a warning about how they build them.
PIP_OPTIONS="--quiet --disable-pip-version-check --use-pep517"

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
}

wheel() {
    ls "$PWD"/.build/sdk-wheel/vwo_celery-*.whl
}

# Beside what users install: a Redis server for machines without one, and pytest.
make_environment() {
    environment=.venv-sdk-$1
    if [ "$1" = legacy ]; then check_compiler; fi
    echo "making $environment (about half a minute): our wheel, $(grep -v '^#' "tests/sdk/requirements-$1.txt" | tr '\n' ' ')"
    rm -rf "$environment"
    "$PYTHON" -m venv "$environment"
    touch "$environment/wheel-started"
    build_wheel "$environment"
    "$environment/bin/pip" install $PIP_OPTIONS "$(wheel)[dev-redis]" -r "tests/sdk/requirements-$1.txt" pytest
    cp ".build/sdk-$1" "$environment/made-from"
    mv "$environment/wheel-started" "$environment/wheel-installed"
    echo "made $environment"
}

refresh_wheel() {
    environment=.venv-sdk-$1
    newer=$(find vwo_celery pytest_vwo_celery.py README.md LICENSE -newer "$environment/wheel-installed" \
        ! -name '*.pyc' ! -name __pycache__ | head -n 1)
    if [ -z "$newer" ] && [ -e .build/sdk-wheel ]; then return; fi
    touch "$environment/wheel-started"
    build_wheel "$environment"
    "$environment/bin/pip" install $PIP_OPTIONS --force-reinstall --no-deps "$(wheel)"
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
    VWO_CELERY_SDK=$generation VWO_CELERY_WHEEL=$(wheel) ".venv-sdk-$generation/bin/pytest" \
        -q -o pythonpath=tests -o testpaths=tests/sdk "$@" || failed=1
done
exit $failed
