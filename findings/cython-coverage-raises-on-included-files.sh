#!/bin/sh
# Cython's coverage plugin: an extension that was compiled with line tracing, and whose pyx includes a
# .pxi file, is measured as it should be from the folder in which it was compiled. From any other
# folder the name of the .pxi leads nowhere, and in place of leaving the file alone, as it does a
# .pyx, the plugin raises TypeError. coverage takes the plugin out and writes the traceback to the
# standard error output of the program that is measured, which goes on.
#
# Seen with Cython 3.3.1 and coverage 7.17.5 on CPython 3.11; this prints what it sees, and fails where
# that changes. It needs a C compiler.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$folder/venv/bin/pip" install -q --disable-pip-version-check Cython==3.3.1 coverage==7.17.5 setuptools
mkdir "$folder/build" "$folder/elsewhere"
cd "$folder/build"
cat > part.pxi <<'PART'
def doubled(x):
    y = x + x
    return y
PART
cat > whole.pyx <<'WHOLE'
# cython: linetrace=True
include "part.pxi"
WHOLE
cat > setup.py <<'SETUP'
from Cython.Build import cythonize
from setuptools import Extension, setup

macros = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
setup(name="whole", ext_modules=cythonize([Extension("whole", ["whole.pyx"], define_macros=macros)]))
SETUP
"$python" setup.py -q build_ext --inplace > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
cat > "$folder/program.py" <<'PROGRAM'
import whole

print("the program prints:", whole.doubled(21))
PROGRAM
cat > "$folder/rc" <<'RC'
[run]
core = ctrace
plugins = Cython.Coverage
RC
"$python" -c 'import Cython, coverage, sys; print("Cython", Cython.__version__, "coverage", coverage.__version__, "CPython", sys.version.split()[0])'
for where in build elsewhere; do
    cd "$folder/$where"
    PYTHONPATH="$folder/build" COVERAGE_FILE="$folder/data" "$python" -m coverage run \
        --rcfile="$folder/rc" "$folder/program.py" > "$folder/output" 2> "$folder/errors"
    cat "$folder/output"
    echo "from the folder '$where', standard error output has:"
    grep -E "^TypeError|^    (rel_file_path|if filename)" "$folder/errors" || echo "(no error)"
    cp "$folder/errors" "$folder/errors.$where"
done
! grep -q "TypeError" "$folder/errors.build" || { echo "this is not what was seen before"; exit 1; }
grep -q "^TypeError" "$folder/errors.elsewhere" || { echo "this is not what was seen before"; exit 1; }
