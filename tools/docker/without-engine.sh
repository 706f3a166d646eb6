#!/bin/sh
# Builds the Dockerfile and runs what it made where there is no Docker and no registry of images, to prove its steps: buildah takes a
# Debian that debootstrap made for the base image. That shows instructions, paths and users, not the true base. Needs root.
#   apt-get install buildah debootstrap
#   debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm ROOT
#   tools/docker/without-engine.sh ROOT [options of `buildah bud`: -v /etc/pip.conf:/etc/pip.conf:ro --build-arg CUDA=1]
set -eu
root=$1
shift
ln -sf python3 "$root/usr/bin/python"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
base=$(buildah from scratch)
tar -C "$root" --one-file-system -cf - . | buildah add -q "$base" /dev/stdin / >/dev/null 2>&1 || buildah add -q "$base" "$root" /
buildah config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$base"
buildah commit -q --rm "$base" docker.io/library/python:3.13-slim
buildah bud --pull-never --format docker -t gfedge "$@" .
made=$(buildah from --pull-never gfedge)
trap 'buildah rm "$made" >/dev/null' EXIT
echo "== as whom, and what it may write"
buildah run "$made" -- sh -c 'id; touch /opt/gfedge/x 2>&1 || true; touch /data/x && rm /data/x && echo "/data can be written"'
buildah inspect --format '{{.Docker.Config.User}} {{.Docker.Config.Volumes}} {{.Docker.Config.Healthcheck}}' "$made"; echo
echo "== selftest"
buildah run "$made" -- gfedge selftest
echo "== with a read-only root, as docker run --read-only --tmpfs /tmp -v gfedge:/data"
seen=$(mktemp -d)
mount --bind "$(buildah mount "$made")" "$seen" && mount -o remount,bind,ro "$seen"
mount -t proc proc "$seen/proc" && mount --bind /dev "$seen/dev"
mount -t tmpfs -o mode=1777 tmpfs "$seen/tmp" && mount -t tmpfs -o uid=10001,gid=10001,mode=755 tmpfs "$seen/data"
trap 'umount "$seen/data" "$seen/tmp" "$seen/dev" "$seen/proc" "$seen" && rmdir "$seen"; buildah rm "$made" >/dev/null' EXIT
# shellcheck disable=SC2046 - a word for each variable
chroot --userspec=10001:10001 "$seen" env -i $(buildah inspect --format '{{range .Docker.Config.Env}}{{.}} {{end}}' "$made") sh -c '
  id; touch /opt/gfedge/x 2>&1 || true
  gfedge selftest
  echo "== serve, and the healthcheck beside it"
  cd /data; gfedge serve & server=$!
  for _ in $(seq 300); do gfedge health 2>/dev/null && break; sleep 0.2; done
  gfedge health && ls -l /data/admin-token && gfedge token create --name prometheus --scope metrics | cut -c1-4
  kill $server; wait $server; echo "ended with $?"'
