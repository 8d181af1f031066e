#!/usr/bin/env bash
# Adapts a served sinusoid model to five points and predicts two more.
#
#   ./adapt_and_predict.sh [http://localhost:8501 [sinusoid]]
#
# Prints the answer as JSON; exits with 22 where the server refuses, after printing its words.
set -euo pipefail
url="${1:-http://localhost:8501}"
model="${2:-sinusoid}"
curl --silent --show-error --fail-with-body --max-time 30 \
  --retry 5 --retry-max-time 30 \
  --header 'Content-Type: application/json' \
  --data @"$(dirname "${BASH_SOURCE[0]}")/request.json" \
  "$url/v1/models/$model:predict"
echo
