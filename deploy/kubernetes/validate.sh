#!/usr/bin/env bash
# Checks the manifests against the schemas of the Kubernetes API, and that what they promise about
# security holds for every container. Nothing asks a cluster: kubernetes-validate (PyPI) brings the
# schemas along.
set -euo pipefail
cd "$(dirname "$0")"

# The oldest version whose fields the manifests use (a sleep as preStop hook), and a current one.
versions=(1.30 1.34)
pinned="kubernetes-validate==1.37.0"

venv="${XDG_CACHE_HOME:-$HOME/.cache}/maskinporten-proxy/$pinned"
if [[ ! -x "$venv/bin/kubernetes-validate" ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$pinned"
fi

for version in "${versions[@]}"; do
    "$venv/bin/kubernetes-validate" --strict --kubernetes-version "$version" ./*.yaml
done
"$venv/bin/python" hardened.py ./*.yaml
