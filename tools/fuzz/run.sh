#!/bin/sh
# Coverage-guided fuzzing of the readers of hostile files, with libFuzzer and AddressSanitizer.
#
#   tools/fuzz/run.sh [safetensors|gguf|json|all] [SECONDS EACH]
#
# Needs the Swift toolchain and clang from it.  Builds into .build-fuzz; the corpus grows in
# .build-fuzz/corpus-NAME.  A find is written to .build-fuzz/NAME-crash-*: make it a test.
# For the readers' own mutation tests, run longer than in `make test`:
#
#   FLASHMOE_FUZZ_SECONDS=60 swift test -c release -Xswiftc -enable-testing --filter FuzzTests
set -eu
cd "$(dirname "$0")/../.."
which=${1:-all}
seconds=${2:-60}
out=.build-fuzz
mkdir -p $out

flags="-O -swift-version 6 -sanitize=fuzzer,address -Xcc -fmodule-map-file=$PWD/tools/fuzz/module.modulemap"
clang -c -O1 -ISources/CLinux/include Sources/CLinux/system.c -o $out/CLinux.o

# One module after the other, each as one object.
module() { # NAME SOURCES…
  name=$1
  shift
  swiftc $flags -wmo -parse-as-library -module-name "$name" -I $out -emit-module \
    -emit-module-path "$out/$name.swiftmodule" -c "$@" -o "$out/$name.o"
}
module Support $(find Sources/Support -name '*.swift')
module Checkpoints $(find Sources/Checkpoints -name '*.swift')

seed() { # NAME: fills the first corpus
  mkdir -p "$out/corpus-$1"
  case $1 in
  gguf) cp Tests/Fixtures/gguf/*.gguf "$out/corpus-$1/" ;;
  json) cp Tests/Fixtures/oracle/qwen3_moe/*config.json "$out/corpus-$1/" ;;
  safetensors)
    cp Tests/Fixtures/oracle/qwen3_moe/model-00004-of-00004.safetensors "$out/corpus-$1/"
    header='{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"__metadata__":{}}'
    # The length is below 256: one octal byte and seven zeros.
    printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0%sab" "$header" > "$out/corpus-$1/small"
    ;;
  esac
}

fuzz() { # NAME SOURCE
  swiftc $flags -parse-as-library -module-name "Fuzz$1" -I $out \
    "tools/fuzz/$2.swift" tools/fuzz/OpenCheckpoint.swift $out/Support.o $out/Checkpoints.o \
    $out/CLinux.o -o "$out/fuzz-$1"
  seed "$1"
  nice "$out/fuzz-$1" -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=2048 -timeout=10 \
    -artifact_prefix="$out/$1-" -print_final_stats=1 -dict=tools/fuzz/words.dict "$out/corpus-$1" 2>&1 |
    grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|RELOAD)|# Uses:' | tail -n 40
  rm -rf /dev/shm/flashmoe-fuzz-*
}

case $which in
safetensors | all) fuzz safetensors Safetensors ;;
esac
case $which in
gguf | all) fuzz gguf GGUF ;;
esac
case $which in
json | all) fuzz json JSON ;;
esac
