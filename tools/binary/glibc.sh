#!/bin/sh
# The oldest glibc that something runs on: the highest version that its programs and libraries ask for, and which of them do. Needs binutils.
#   tools/binary/glibc.sh dist/gfedge                              the built folder (the one file holds the same)
#   tools/binary/glibc.sh .venv/lib/python3*/site-packages         what the wheels allow
set -eu
asked=$(mktemp)
trap 'rm -f "$asked"' EXIT
find "$@" -type f \( -name '*.so' -o -name '*.so.*' -o -perm -u+x \) -exec sh -c '
  for file; do
    readelf -W --version-info "$file" 2>/dev/null | sed -n "s|.*Name: GLIBC_\([0-9.]*\) .*|\1 $file|p"
  done' sh {} + | sort -u >"$asked"
[ -s "$asked" ] || { echo "nothing here asks for a glibc" >&2; exit 1; }
highest=$(cut -d' ' -f1 "$asked" | sort -V | tail -n 1)
echo "glibc $highest"
awk -v highest="$highest" '$1 "" == highest { sub(/^[^ ]* /, ""); print }' "$asked"
