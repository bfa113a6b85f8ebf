#!/usr/bin/env bash
# Real clients through the real binary. Installs what it needs: npm packages, and from Debian
# curl, openssl and Chromium where they are missing. Java and Python are taken as they are.
set -euo pipefail
cd "$(dirname "$0")"

need=()
command -v curl >/dev/null || need+=(curl)
command -v openssl >/dev/null || need+=(openssl)
command -v chromium >/dev/null || command -v google-chrome >/dev/null || need+=(chromium)
if [ ${#need[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

npm ci --no-audit --no-fund --silent
exec node --test --test-concurrency=1 --test-timeout=300000 ./*.test.mjs
