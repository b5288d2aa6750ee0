# shellcheck shell=sh
# Sourced by `run` and `check` in the project's folder, so that they share one environment.

venv=${VENV_DIR:-.venv}

# prepare_venv requirements.txt...: installs them in $venv, or ends the calling script.
prepare_venv() {
    python=$(find_python) || exit 1
    "$python" tools/environment.py "$venv" "$@" || exit 1
}

find_python() {
    for candidate in python3 python3.11 python3.12 python3.13 python3.14 "$venv/bin/python"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    echo "Python 3.11 or newer is needed, and was not found (looked for python3 to python3.14)." >&2
    return 1
}
