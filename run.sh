#!/usr/bin/env bash
# Sets up, trains, tests and shows: see ./run.sh --help.
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'HELP'
./run.sh                    set up, train MNIST's default network with its tester beside it, classify a picture
./run.sh setup              only make .venv and install what the program needs
./run.sh train TASK …       python TASK/backward.py …      (TASK is mnist or cifar10; … are flags, --help lists them)
./run.sh test TASK …        python TASK/test.py …          (measures the accuracy)
./run.sh app TASK …         python TASK/app.py …           (… are pictures and flags)
./run.sh serve [TASK] …     python TASK/app.py --serve …   (a page in the browser, to draw or to drop pictures on)
./run.sh export TASK …      python TASK/export.py …        (writes a trained network for other programs)
./run.sh pack TASK SOURCE …  packs your own pictures, a folder or a table, to data/   (training does it, too)
./run.sh tensorboard …      TensorBoard on logs/
./run.sh train TASK --workers 2   trains in two processes, each with its share of the cores
./run.sh examples           runs examples/, and writes docs/examples.md with their output and pictures
./run.sh check …            the linter and the tests of this repository   (… goes to pytest)
./run.sh check --quick …    the linter and the quick tests

PYTHON=python3.12 ./run.sh …  makes .venv with that Python (3.10 to 3.13); remove .venv to change it.
HELP
}

fail() { echo "error: $*" >&2; exit 1; }

supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; }

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.10 to 3.13"
    echo "$PYTHON"
    return
  fi
  local name
  for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
    if supported "$name"; then echo "$name"; return; fi
  done
  fail "no Python 3.10 to 3.13 found; install one, or name it: PYTHON=/path/to/python ./run.sh"
}

# Installs the given requirements files into .venv, unless these very files were installed before. --no-deps: nothing else.
install() {
  local flags=() file
  if [ "$1" = --no-deps ]; then flags+=("$1"); shift; fi
  if [ ! -x "$python" ]; then
    local base
    base=$(find_python)
    "$base" -m venv --clear .venv || { rm -rf .venv; fail "$base cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; }
  fi
  local stamp=".venv/installed-$(basename "${!#}" .txt)"
  for file in "$@"; do flags+=(-r "$file"); done
  if ! cat "$@" | cmp -s - "$stamp"; then
    echo "installing $* into .venv"
    "$python" -m pip install --quiet --disable-pip-version-check "${flags[@]}" || fail "the installation failed; the lines above tell why"
    cat "$@" > "$stamp"
  fi
}

python=.venv/bin/python
[ "${OS:-}" = Windows_NT ] && python=.venv/Scripts/python.exe
requirements=requirements.txt
[ "$(uname -s)" = Linux ] && nvidia-smi -L > /dev/null 2>&1 && requirements=requirements-gpu.txt # a driver answers

script() {
  local script=$1 task=${2:-}
  if [ -z "$task" ] || [ ! -f "$task/$script.py" ]; then
    local tests=
    [ "$script" = test ] && tests="; the tests of this repository are ./run.sh check now"
    fail "which task? ./run.sh --help shows the form; tasks: $(echo */backward.py | sed 's#/backward.py##g')$tests"
  fi
  if [ "$script" = export ]; then install "$requirements" requirements-export.txt; else install "$requirements"; fi
  local root=$PWD
  cd "$caller" # paths in the flags are relative to it
  exec "$root/$python" "$root/$task/$script.py" "${@:3}"
}

everything() {
  install "$requirements"
  mkdir -p logs
  local trainer tester='' status=0
  touch "$started"
  trap 'rm -f "$started"' EXIT
  # Through cat its standard error is no terminal: plain lines, which go with the tester's, instead of a progress bar.
  "$python" mnist/backward.py 2> >(cat >&2) & trainer=$!
  trap 'kill -TERM $trainer $tester 2> /dev/null; wait; exit 130' INT
  trap 'kill -TERM $trainer $tester 2> /dev/null; wait; exit 143' TERM
  # The tester tests the run that was started last: it has to wait for this one.
  while kill -0 "$trainer" 2> /dev/null && ! newer; do sleep 0.2; done
  if newer; then "$python" mnist/test.py & tester=$!; fi
  wait "$trainer" || status=$?
  [ "$status" = 0 ] || kill $tester 2> /dev/null || true
  wait $tester || true
  [ "$status" = 0 ] || exit "$status"
  echo
  # The network that was trained here; where digits were drawn, as there is no MNIST, the one of the repository.
  local asked=(--dataset mnist)
  [ ! -f checkpoints/mnist/convnet/checkpoint ] || asked=(--checkpoint checkpoints/mnist/convnet)
  "$python" mnist/app.py "${asked[@]}" docs/digit.jpg
  cat <<END

checkpoints        checkpoints/mnist
logs               logs/mnist, with the curves; in a browser: ./run.sh tensorboard
annotated picture  $(ls -t logs/mnist/*/app/digit.png | head -n 1)
your own picture   ./run.sh app mnist PICTURE
END
}

started=logs/.started # while everything() runs: what is newer was made by it
newer() { [ -n "$(find checkpoints/mnist -name run.json -newer "$started" 2> /dev/null)" ]; }

case "${1:-}" in
  '') everything ;;
  setup) install "$requirements" ;;
  train) script backward "${@:2}" ;;
  pack)
    [ $# -ge 3 ] || fail "pack what? ./run.sh pack TASK SOURCE, a folder or a table"
    script backward "${2:-}" --only-pack --dataset "${@:3}"
    ;;
  test | app) script "$1" "${@:2}" ;;
  export) script export "${@:2}" ;;
  eval) fail "'eval' is called 'test' now: ./run.sh test TASK …" ;;
  serve)
    case "${2:-}" in
      '' | -*) script app mnist "${@:2}" --serve ;;
      *) script app "${@:2}" --serve ;;
    esac
    ;;
  tensorboard) install "$requirements"; exec "$(dirname "$python")/tensorboard" --logdir logs "${@:2}" ;;
  examples)
    install "$requirements" requirements-examples.txt
    install --no-deps requirements-keras.txt
    exec "$python" examples
    ;;
  check)
    install "$requirements" requirements-export.txt requirements-examples.txt requirements-dev.txt
    install --no-deps requirements-keras.txt
    "$python" -m ruff check .
    if [ "${2:-}" = --quick ]; then set -- check -m 'not slow' "${@:3}"; fi
    exec "$python" -m pytest "${@:2}"
    ;;
  -h | --help | help) usage ;;
  *) usage >&2; echo >&2; fail "unknown command '$1'" ;;
esac
