# Sourced by the checks: Python tools of pinned versions, from PyPI, each in a folder of its own.
# Needs python3 with pip; no virtual environment, which Debian packs apart.

# Installs the package where it is not there yet, and prints its folder: `bin/` holds its programs,
# and the folder itself belongs on PYTHONPATH.
python_tool() {
    local package="$1"
    local folder="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/maskinporten-proxy/$package"
    if [[ ! -d "$folder" ]]; then
        mkdir -p "$(dirname "$folder")"
        local new
        new="$(mktemp -d "$folder.XXXXXX")"
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
            --target "$new" "$package" >&2
        # Whoever comes second finds it there.
        mv -T "$new" "$folder" 2>/dev/null || rm -rf "$new"
    fi
    echo "$folder"
}
