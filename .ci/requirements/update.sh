#!/bin/sh
# Writes what a release is built, tested and described with, and what its site is made with: the
# newest releases that pyproject.toml allows, with their hashes. Needs uv. Read the difference before it is committed.
set -eu
cd "$(dirname "$0")/../.."
export UV_CUSTOM_COMPILE_COMMAND=.ci/requirements/update.sh

lock() { # a file, and what goes into it
    file=.ci/requirements/$1.txt
    shift
    uv pip compile --quiet --upgrade --universal --python-version "${python:-3.11}" --no-annotate \
        --generate-hashes --output-file "$file" "$@"
}

lock build --group build .ci/requirements/build.in pyproject.toml
lock test --group test --extra cli --extra speed pyproject.toml
lock sbom .ci/requirements/sbom.in
# On one Python alone.
python=3.13 lock docs --group docs pyproject.toml
