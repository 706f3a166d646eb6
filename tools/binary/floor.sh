#!/bin/sh
# Python 3.11 for a glibc as old as the wheels of the lock allow, whatever this system's is: `make binary FLOOR=1` freezes it.
# zig compiles against that glibc's own list of symbols. The sources are Debian 12's with its patches, and the C++ runtime is Debian 11's as
# it is (the one of a newer compiler asks for a newer glibc); apt checks them all by Debian's signatures. In lib/ there is all that is not glibc;
# debian11/ is the oldest system that apt still has, to try the result in (chroot.sh).
#   tools/binary/floor.sh build/floor ZIG...    needs apt, dpkg-dev, perl, make and Debian's keys; MIRROR=URL if apt is set up for another system
set -eu
GLIBC=2.28
SOURCES='bzip2=1.0.8-5 expat=2.5.0-1+deb12u2 libffi=3.4.4-1 openssl=3.0.20-1~deb12u2 python3.11=3.11.2-6+deb12u8 xz-utils=5.4.1-1+deb12u1
  zlib=1:1.2.13.dfsg-1'
RUNTIME='libgcc-s1=10.2.1-6 libstdc++6=10.2.1-6'
OLDEST='libc6=2.31-13+deb11u11 zlib1g=1:1.2.11.dfsg-2+deb11u2'
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

mkdir -p "$1"
root=$(cd "$1" && pwd)
shift
unset MAKEFLAGS MAKELEVEL MFLAGS # of the make that called this
cd "$root"
rm -rf apt bin debian11 include lib share src
mkdir -p apt/lists/partial apt/archives/partial include lib src
cd src

MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)}
[ -n "$MIRROR" ] || { echo "apt knows no mirror of Debian here (apt-get update?): name one, MIRROR=http://..." >&2; exit 1; }
printf 'deb%s [signed-by=%s] %s %s main\n' '' "$KEYS" "$MIRROR" bullseye -src "$KEYS" "$MIRROR" bookworm >"$root/apt/sources.list"
export APT_CONFIG="$root/apt/apt.conf"
cat >"$APT_CONFIG" <<END
Dir::Etc::SourceList "$root/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$root/apt/lists";
Dir::Cache "$root/apt";
APT::Sandbox::User "$(id -un)";
END
# shellcheck disable=SC2086 - a word for each package
{ apt-get -qq update && apt-get -qq source $SOURCES && apt-get -qq download $RUNTIME $OLDEST; } >"$root/apt/log" 2>&1 || { cat "$root/apt/log" >&2; exit 1; }
for package in libgcc*.deb libstdc*.deb; do dpkg-deb --extract "$package" runtime; done
find runtime \( -name 'libstdc++.so.6' -o -name 'libgcc_s.so.1' \) -exec cp -L {} "$root/lib/" \;
for package in libc6*.deb zlib1g*.deb; do dpkg-deb --extract "$package" "$root/debian11"; done

printf '#!/bin/sh\nexec %s cc -target %s-linux-gnu.%s "$@"\n' "$*" "$(uname -m)" "$GLIBC" >"$root/src/cc"
chmod +x cc
export CC="$root/src/cc" CPPFLAGS="-I$root/include" LDFLAGS="-L$root/lib -s" PKG_CONFIG_LIBDIR="$root/lib/pkgconfig" LD_LIBRARY_PATH="$root/lib"
export CFLAGS='-O2 -g0 -fPIC -fno-sanitize=all -Wno-error=implicit-function-declaration'
jobs=$(nproc)
export root jobs

built() { # built NAME <commands: in its folder, with a log that is shown if one fails
  echo "  $1"
  (cd "$root/src/$1"-[0-9]* && exec sh -ec "$(cat)") >"$root/src/$1.log" 2>&1 || { tail -n 30 "$root/src/$1.log" >&2; exit 1; }
}
echo "for glibc $GLIBC, in $root:"
built zlib <<'END'
./configure --prefix="$root" --static
make -j"$jobs" install
END
built bzip2 <<'END'
make -j"$jobs" CC="$CC" CFLAGS="$CFLAGS" libbz2.a
cp libbz2.a "$root/lib"
cp bzlib.h "$root/include"
END
built xz-utils <<'END'
./configure --prefix="$root" --disable-shared --disable-nls --disable-doc --disable-scripts --disable-xz --disable-xzdec --disable-lzmadec --disable-lzmainfo
make -j"$jobs" install
END
built libffi <<'END'
./configure --prefix="$root" --disable-shared --disable-docs --disable-multi-os-directory
make -j"$jobs" install
END
built expat <<'END' # whose configure is made by autoconf first
cd expat/lib
touch expat_config.h
for part in xmlparse xmlrole xmltok; do
  "$CC" $CFLAGS -I. -DXML_NS -DXML_DTD -DXML_CONTEXT_BYTES=1024 -DBYTEORDER=1234 -DHAVE_GETRANDOM -c $part.c
  ar rcs "$root/lib/libexpat.a" $part.o
done
cp expat.h expat_external.h "$root/include"
END
built openssl <<'END' # shared: two modules need it
./Configure "linux-$(uname -m)" --prefix=/usr --openssldir=/etc/ssl no-tests no-module
make build_generated
make -j"$jobs" libcrypto.so libssl.so
cp -P libcrypto.so* libssl.so* "$root/lib/"
cp -r include/openssl "$root/include/"
END
built python3.11 <<'END' # without this system's own libraries; zig takes no -h and links no library of nothing; Debian has pyexpat in the core
sed -i 's/^\( *\)self.add_multiarch_paths()$/\1pass/' setup.py
sed -i 's/-Wl,-h/-Wl,-soname,/; s/@PY3LIBRARY@//' Makefile.pre.in
sed -i '1i #define Py_BUILD_CORE_MODULE' Modules/pyexpat.c
export CFLAGS="${CFLAGS#-O2}" # it has -O3
./configure --prefix="$root" --enable-shared --with-openssl="$root" --with-system-expat --without-ensurepip --disable-test-modules
made=@$(dpkg-parsechangelog --show-field Timestamp)
make -j"$jobs" BUILD_DATE="$(LC_ALL=C date -ud "$made" '+%b %d %Y')" BUILD_TIME="$(date -ud "$made" +%T)"
make install
END
"$root/bin/python3.11" -c 'import bz2, ctypes, hashlib, lzma, ssl, zlib, xml.parsers.expat'
