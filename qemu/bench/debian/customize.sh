#!/bin/sh
# A hook of mmdebstrap, called with the new system's directory: makes it the
# director of examples/s2-dr, and leaves in it the disk image and what boots it.
# By $DIPPER_REFERENCE, the rest is as the packages make it ("packaged"), or as a
# careful administrator would make it who wants it to boot fast ("tuned").
set -eu
root=$1
here=$(dirname "$0")

cp -r "$here/rootfs/." "$root"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
chroot "$root" systemctl -q enable systemd-networkd keepalived meminfo.socket
# The console is asked for the memory in use.
chroot "$root" systemctl -q mask serial-getty@ttyS0.service
if [ "$DIPPER_REFERENCE" = tuned ]; then
	cp -r "$here/rootfs-tuned/." "$root"
	# Nothing waits for the network: addresses are static, and IPVS needs no
	# interface to be up.
	chroot "$root" systemctl -q disable systemd-networkd-wait-online.service
	chroot "$root" systemctl -q mask getty@tty1.service \
		apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		e2scrub_reap.service fstrim.timer systemd-pstore.service
	chroot "$root" systemctl -q set-default multi-user.target
	# Only the modules that this machine's disk needs.
	chroot "$root" update-initramfs -u
fi

# Without what is mounted in it meanwhile, and what apt keeps.
copy=$(mktemp -d)
chmod 755 "$copy"
cp -ax "$root/." "$copy"
rm -rf "$copy"/var/cache/apt "$copy"/var/lib/apt/lists
mkfs.ext4 -q -L root -d "$copy" "$root/disk" 1G

# shellcheck disable=SC2016 # ${...} is dpkg-query's
chroot "$root" dpkg-query -W -f '${Package} ${Version}\n' \
	keepalived systemd linux-image-cloud-amd64 >"$root/software"
du -sB1 --apparent-size "$copy" | cut -f1 >"$root/installed"
cp "$root"/boot/vmlinuz-* "$root/kernel"
cp "$root"/boot/initrd.img-* "$root/initramfs"
rm -r "$copy"
