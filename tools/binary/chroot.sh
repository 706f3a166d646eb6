#!/bin/sh
# Runs the single binary's selftest where there is nothing but it, the C library and zlib: an empty root, no environment. Needs root.
#   tools/binary/chroot.sh dist/gfedge [ROOT]       or dist/gfedge-onefile; ROOT may be a folder with an older system instead of an empty one: of
#                                                debootstrap, or build/floor/debian11 (libc6 and zlib1g alone, `make binary FLOOR=1`)
set -eu
binary=$1
root=${2:-}
if [ -z "$root" ]; then
  root=$(mktemp -d)
  trap 'umount "$root/proc" 2>/dev/null || true; rm -rf --one-file-system "$root"' EXIT
  # The C library, its loader, and zlib, which PyInstaller's bootloader wants.
  ldconfig -p | sed -n 's/.*x86-64.*=> //p' \
    | grep -E '/(ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libutil|libresolv|libz)\.so\.[0-9]+$' \
    | while read -r library; do mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"; done
  mkdir -p "$root/lib64" && cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
else
  trap 'umount "$root/proc"; rm -rf "$root/gfedge"' EXIT
fi
mkdir -p "$root/tmp" "$root/dev" "$root/proc"
[ -e "$root/dev/null" ] || { mknod "$root/dev/null" c 1 3 && mknod "$root/dev/urandom" c 1 9; }
mount -t proc proc "$root/proc"
cp -r "$binary" "$root/gfedge"
command=/gfedge
[ ! -d "$root/gfedge" ] || command=/gfedge/gfedge
echo "in $root: $(find "$root" -xdev -path "$root/gfedge" -prune -o -path "$root/proc" -prune -o -type f -print | wc -l) files besides gfedge"
chroot=$(command -v chroot)
env -i "$chroot" "$root" "$command" --version
env -i "$chroot" "$root" "$command" selftest
env -i "$chroot" "$root" "$command" selftest --isolate-inference
