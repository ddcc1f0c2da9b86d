#!/bin/sh
# graft.sh ARCHITECTURE SUITE MIRROR OPTIONS NATIVE EMULATOR OUT: a root file system of another architecture, without
# emulating its installation: its packages are unpacked, and what configuring them wrote is taken from a native one.
#
# NATIVE is unpacked for this and is changed. What enrolment adds is installed in the result: emulated, installing
# takes longer than all the rest of enrolment, and the native servers try it.
set -eu
ARCHITECTURE=$1 SUITE=$2 MIRROR=$3 OPTIONS=$4 NATIVE=$5 EMULATOR=$6 OUT=$7
export DEBIAN_FRONTEND=noninteractive

printf '#!/bin/sh\nexit 101\n' > "$NATIVE/usr/sbin/policy-rc.d"  # installed, not started
chmod +x "$NATIVE/usr/sbin/policy-rc.d"
mount -t proc proc "$NATIVE/proc"
mount --bind /dev "$NATIVE/dev"
chroot "$NATIVE" sh -c 'apt-get -qq install --yes --no-install-recommends chrony prometheus-node-exporter nftables acl'
umount "$NATIVE/proc" "$NATIVE/dev"
rm -rf "$NATIVE/usr/sbin/policy-rc.d" "$NATIVE/srv/packages" "$NATIVE"/var/lib/apt/lists/* "$NATIVE"/var/cache/apt/*
: > "$NATIVE/etc/apt/sources.list"

PACKAGES=$(dpkg-query --admindir="$NATIVE/var/lib/dpkg" --show --showformat='${Package},')
mmdebstrap --quiet --mode=root --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
  --include="${PACKAGES%,}" --architectures="$ARCHITECTURE" --skip=check/qemu --aptopt="$OPTIONS" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  "$SUITE" "$OUT" "$MIRROR"

# all that lies outside /usr, as it was configured; the accounts as they are there
rm -rf "$OUT/var/lib/dpkg" "$OUT/etc/apt/apt.conf.d/99mmdebstrap" "$OUT/etc/apt/sources.list" "$OUT/var/lib/apt/lists"
tar -C "$NATIVE" --exclude=./usr --exclude=./boot --exclude=./etc/ld.so.cache --one-file-system -cf - . |
  tar -C "$OUT" --skip-old-files -xf -
tar -C "$NATIVE" -cf - ./etc/passwd ./etc/group ./etc/shadow ./etc/gshadow ./home | tar -C "$OUT" -xf -
# in /usr the links of alternatives, and Python's compiled modules, which are the same everywhere
(cd "$NATIVE" && find usr \( -type l -not -path '*-linux-gnu*' -o -path '*/__pycache__/*' -type f \) -print0) |
  tar -C "$NATIVE" --null -T - -cf - | tar -C "$OUT" --skip-old-files -xf -
sed -i "s/^Architecture: amd64/Architecture: $ARCHITECTURE/" "$OUT/var/lib/dpkg/status"
echo "$ARCHITECTURE" > "$OUT/var/lib/dpkg/arch"
for file in "$OUT"/var/lib/dpkg/info/*:amd64.*; do
  name=${file##*/}
  mv "$file" "${file%/*}/${name%%:amd64.*}:$ARCHITECTURE.${name#*:amd64.}"
done

cp "$EMULATOR" "$OUT/emulator"
chroot "$OUT" /emulator /sbin/ldconfig
rm "$OUT/emulator"
