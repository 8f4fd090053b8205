#!/bin/sh
# Makes .venv and installs groundloop into it, and with `scripts/install.sh dev` what that extra of pyproject.toml
# needs besides. llama.cpp is compiled once per machine and kept.
#
# On x86-64 the AMX instructions are left out: GCC 12 compiles llama.cpp's AMX code to something that crashes
# (llama.cpp pull request 26954), and the code without it decodes faster. Because pip's cache does not know
# with which flags a wheel was built, the wheel is kept in a folder of our own, named by version, flags and processor.
#
# Left out: what reads pictures and sound, a quarter of the files to compile; and copies. A wheel knows no links, so each
# library would be in it six times: under its three names, for Python and for C++.
set -eu
cd "$(dirname "$0")/.."

extra=${1:-}
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
LLAMA_VERSION=${LLAMA_VERSION:-0.3.36}
CACHE=${GROUNDLOOP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/groundloop}

say() { printf 'install: %s\n' "$*"; }
fail() { printf 'install: %s\n' "$*" >&2; exit 1; }

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3"
if [ ! -x "$VENV/bin/python" ]; then
    "$PYTHON" -m venv "$VENV" || fail "cannot make $VENV; on Debian: apt install python3-venv"
fi
PIP="$VENV/bin/python -m pip --disable-pip-version-check"

compiler=${CC:-cc}
command -v "$compiler" >/dev/null 2>&1 ||
    fail "a C and C++ compiler is needed to build llama.cpp; on Debian: apt install build-essential"
if [ "$(uname -m)" != x86_64 ]; then # hdrhistogram has no wheel there
    "$PYTHON" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
        fail "Python's headers are needed on this processor; on Debian: apt install python3-dev"
fi
no_amx="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
flags="${CMAKE_ARGS:-} -DLLAVA_BUILD=OFF"
# shellcheck disable=SC2086  # the flags are words
if echo 'int main(void) { return 0; }' | "$compiler" $no_amx -x c - -o /dev/null 2>/dev/null; then
    flags="$flags -DCMAKE_C_FLAGS='$no_amx' -DCMAKE_CXX_FLAGS='$no_amx'"
fi
left_out="lib/**;include/**;llama_cpp/lib/*.so.*.*;llama_cpp/lib/libllama.so.0"

processor=$(grep -m1 -iE '^(flags|features)' /proc/cpuinfo 2>/dev/null || uname -m)
key=$(printf '%s' "$flags$left_out$processor$(uname -sm)" | cksum | cut -d' ' -f1)
wheels="$CACHE/wheels/llama-$LLAMA_VERSION-$key"

build() {
    mkdir -p "$wheels.building"
    log="$wheels.building/build.log"
    say "building llama.cpp for this processor, once: some minutes, on a Raspberry Pi a quarter of an hour or more"
    say "the log is $log"
    CMAKE_ARGS=$flags CMAKE_BUILD_PARALLEL_LEVEL=$(getconf _NPROCESSORS_ONLN) \
        $PIP wheel -v --no-cache-dir --no-deps --no-binary llama-cpp-python \
        --config-settings="wheel.exclude=$left_out" "llama-cpp-python==$LLAMA_VERSION" \
        -w "$wheels.building" >"$log" 2>&1 &
    pid=$!
    trap 'kill $pid 2>/dev/null; exit 130' INT TERM
    seconds=0
    while kill -0 $pid 2>/dev/null; do
        sleep 1
        seconds=$((seconds + 1))
        if [ $((seconds % 15)) -eq 0 ]; then
            step=$(grep -oE '\[[0-9]+/[0-9]+\]' "$log" | tail -n 1 || true)
            say "building llama.cpp: $seconds s $step"
        fi
    done
    trap - INT TERM
    wait $pid || { tail -n 20 "$log" >&2; fail "llama.cpp did not build; the whole log is $log"; }
    rm -rf "$wheels"
    mv "$wheels.building" "$wheels"
    say "llama.cpp is built; $wheels keeps it for the next environment"
}

ls "$wheels"/llama_cpp_python-*.whl >/dev/null 2>&1 || build
stamp="$VENV/.llama"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wheels" ]; then
    $PIP install -q --no-deps --no-index --force-reinstall "$wheels"/llama_cpp_python-*.whl
    echo "$wheels" >"$stamp"
fi
say "installing groundloop and what it needs into $VENV${extra:+, $extra too}"
$PIP install -q -e ".${extra:+[$extra]}"
touch "$VENV/.installed" ${extra:+"$VENV/.installed-$extra"}
