#!/bin/sh
# Start tritonserver on the served repository with radserve's flags. Arguments are further flags of tritonserver; of a
# flag given twice the last one counts.
set -eu

# These APIs map memory, load models, or write files on the server's side. Nobody knows the key that opens them.
shut=shared-memory,model-repository,trace,logging
key=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

exec tritonserver \
    --model-repository="${TRITON_MODEL_REPOSITORY:-/models}" \
    --model-control-mode=none \
    --disable-auto-complete-config \
    --strict-readiness=true \
    --exit-on-error=true \
    --exit-timeout-secs=60 \
    --http-port=8000 \
    --grpc-port=8001 \
    --metrics-port=8002 \
    --http-restricted-api="${shut}:radserve-shut=${key}" \
    --grpc-restricted-protocol="${shut}:radserve-shut=${key}" \
    --log-format=ISO8601 \
    "$@"
