#!/usr/bin/env bash
# Adapts a served sinusoid model to five points and predicts two more.
#
#   ./adapt_and_predict.sh [http://localhost:8501 [sinusoid]]
#
# Prints the answer as JSON; exits with 22 where the server refuses, after printing its words.
# A try takes at most 20 seconds, and none begins later than that: 40 at most in all.
set -euo pipefail
url="${1:-http://localhost:8501}"
model="${2:-sinusoid}"
# A file, since curl empties it for each try; on a pipe the answers would follow one another.
answer="$(mktemp)"
trap 'rm -f "$answer"' EXIT
status=0
curl --silent --show-error --fail-with-body --max-time 20 \
  --retry 5 --retry-max-time 20 \
  --header 'Content-Type: application/json' \
  --data @"$(dirname "${BASH_SOURCE[0]}")/request.json" \
  --output "$answer" \
  "$url/v1/models/$model:predict" || status=$?
cat "$answer"
echo
exit "$status"
