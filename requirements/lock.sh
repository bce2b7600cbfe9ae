#!/usr/bin/env bash
# Write the requirement files anew from the pyproject.toml files. Run by `make lock`; $UV is the uv to use.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # compile OUTPUT ARGUMENTS... : universal pins with hashes, without index addresses or paths
    # `environments` of the root pyproject limits every file to what Triton runs on: Linux, x86-64, Python 3.11 to 3.13
    local output=$1
    shift
    "$UV" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --no-emit-package radserve-contract --no-emit-package radserve-export --no-emit-package radserve-triton \
        --no-emit-package radserve-preproc --no-emit-package radserve-client --no-emit-package radserve-devstack \
        --output-file "requirements/$output" "$@"
}

compile dev.txt --group dev pyproject.toml
for role in service:preproc_service client:client export:export launcher:triton_server; do
    compile "${role%%:*}.txt" --constraints requirements/dev.txt "${role##*:}/pyproject.toml"
done
compile embedded.txt --constraints requirements/dev.txt \
    preproc_service/pyproject.toml triton_server/pyproject.toml client/pyproject.toml devstack/pyproject.toml
compile client-extras.txt --constraints requirements/dev.txt --all-extras client/pyproject.toml
echo 'onnxruntime
numpy' | compile triton.txt --constraints requirements/dev.txt -
echo 'nvidia-pytriton==0.7.0' | compile triton-server.txt --no-deps -
echo 'tritonclient==2.50.0' | compile perf-analyzer.txt --no-deps -
echo 'hatchling==1.27.0' | compile build.txt -
echo 'uv' | compile uv.txt -
