#!/bin/sh
# Prints the images that gfedge is built from and composed with, each with the digest that its registry gives for it today:
#   tools/docker/pin.sh > deploy/images.env
#   RELEASE=1 docker compose --env-file deploy/images.env build                  a release takes no base without a digest
# Asks by whichever of skopeo, crane and docker buildx is here; an image whose digest cannot be had ends it with 1.
set -eu
folder=$(dirname "$0")/../..

digest() {
  if command -v skopeo >/dev/null; then skopeo inspect --no-tags --format '{{.Digest}}' "docker://docker.io/$1"
  elif command -v crane >/dev/null; then crane digest "$1"
  elif command -v docker >/dev/null; then docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"
  else echo 'pin.sh: install skopeo, crane or docker' >&2; return 1
  fi
}

official() { case $1 in */*) echo "$1" ;; *) echo "library/$1" ;; esac; }

pin() {
  found=$(digest "$(official "$2")") || { echo "pin.sh: no digest of $2: is its registry reachable?" >&2; exit 1; }
  echo "$found" | grep -Eqx 'sha256:[0-9a-f]{64}' || { echo "pin.sh: $2: this is no digest: $found" >&2; exit 1; }
  echo "$1=$2@$found"
}

pin PYTHON "$(sed -n 's/^ARG PYTHON=//p' "$folder/Dockerfile")"
sed -n 's/^ *image: \${\([A-Z]*\):-\(.*\)}$/\1 \2/p' "$folder/docker-compose.yml" | while read -r name image; do pin "$name" "$image"; done
