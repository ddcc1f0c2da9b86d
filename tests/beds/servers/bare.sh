#!/bin/sh
# bare.sh SUITE MIRROR OPTIONS OUT: the root file system of a freshly installed server, amd64.
#
# What enrolment adds to a real server, and what others run beside it, is not installed but lies in /srv/packages as a
# repository that apt is told to use: a server of the bed reaches no mirror, and installing is part of what enrolment
# must do.
set -eu
SUITE=$1 MIRROR=$2 OPTIONS=$3 OUT=$4
INSTALLED=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,python3,python3-apt,iproute2,e2fsprogs,procps,apt-utils
OFFERED='chrony prometheus-node-exporter nftables acl cron at'

mmdebstrap --quiet --mode=root --variant=minbase --include=$INSTALLED \
  --aptopt="$OPTIONS" --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --customize-hook='chroot "$1" apt-get clean' \
  --customize-hook="chroot \"\$1\" apt-get -qq install --download-only --yes --no-install-recommends $OFFERED" \
  --customize-hook='mkdir "$1/srv/packages" && cp "$1"/var/cache/apt/archives/*.deb "$1/srv/packages"' \
  "$SUITE" "$OUT" "$MIRROR"

cd "$OUT"
rm -rf etc/apt/sources.list etc/apt/sources.list.d/* etc/apt/apt.conf.d/99mmdebstrap var/lib/apt/lists etc/ssh/ssh_host_*
chroot . sh -c 'cd /srv/packages && apt-ftparchive packages . > Packages'
echo 'deb [trusted=yes] file:/srv/packages ./' > etc/apt/sources.list
mkdir -p var/lib/apt/lists/partial
chroot . apt-get -qq update
rm -f var/cache/apt/*.bin

# the log-in that whoever installed the server left: by key only, root through sudo without a password
chroot . useradd --uid 1000 --create-home --shell /bin/bash --password '*' admin
mkdir -m 0700 home/admin/.ssh && chroot . chown admin: /home/admin/.ssh
echo 'admin ALL=(ALL:ALL) NOPASSWD: ALL' > etc/sudoers.d/admin
chmod 0440 etc/sudoers.d/admin
cat > etc/ssh/sshd_config.d/installed.conf <<'S'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
UseDNS no
MaxStartups 100
S

# what has no hardware or no network here to work on
for unit in systemd-resolved.service systemd-networkd.service systemd-timesyncd.service systemd-firstboot.service \
  getty.target console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount \
  systemd-update-utmp-runlevel.service sshd-keygen.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
  proc-sys-fs-binfmt_misc.mount; do
  ln -sf /dev/null etc/systemd/system/$unit
done
# the clock is the machine's: chrony runs and leaves it alone; emulated it can have no filter of system calls
case $SUITE in bookworm) FOREGROUND= ;; *) FOREGROUND=-n ;; esac
mkdir etc/systemd/system/chrony.service.d
cat > etc/systemd/system/chrony.service.d/bed.conf <<S
[Unit]
ConditionCapability=
ConditionVirtualization=
[Service]
ExecStart=
ExecStart=!/usr/sbin/chronyd $FOREGROUND \$DAEMON_OPTS -F 0 -x
S
# emulated, systemd 252 fails to hand credentials to its services
for unit in systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-sysusers systemd-sysctl; do
  mkdir etc/systemd/system/$unit.service.d
  printf '[Service]\nLoadCredential=\n' > etc/systemd/system/$unit.service.d/bed.conf
done
