#!/bin/sh
# Last step of an image, run by mmdebstrap in the new root file system. Arguments: hypervisor, locale, time zone,
# label of the root file system, units to mask (one argument, words).
set -eu
hypervisor=$1 language=$2 timezone=$3 label=$4 masked=$5
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

case $language in
C.* | POSIX) ;;
*)
  grep -qx "$language ${language#*.}" /usr/share/i18n/SUPPORTED || {
    echo "there is no locale $language" >&2
    exit 1
  }
  echo "$language ${language#*.}" >/etc/locale.gen
  locale-gen
  ;;
esac
# it knows where the suite keeps it: /etc/default/locale, from trixie on /etc/locale.conf
update-locale --reset "LANG=$language"
test -e "/usr/share/zoneinfo/$timezone" || {
  echo "there is no time zone $timezone" >&2
  exit 1
}
ln -sfn "/usr/share/zoneinfo/$timezone" /etc/localtime
echo "$timezone" >/etc/timezone

systemctl enable --quiet systemd-networkd.service systemd-networkd-wait-online.service systemd-resolved.service
for unit in $masked; do
  ln -sfn /dev/null "/etc/systemd/system/$unit"
done
ln -sfn /run/systemd/resolve/resolv.conf /etc/resolv.conf

case $hypervisor in
lxc)
  systemctl enable --quiet container-proc.service
  dpkg-divert --quiet --local --rename --divert /usr/sbin/init.systemd --add /usr/sbin/init
  install -m 0755 /usr/sbin/init.medicarche /usr/sbin/init
  rm /usr/sbin/init.medicarche
  ;;
kvm)
  # GRUB's core image with all that it needs inside; the disk's builder puts it before the first partition
  echo "search --no-floppy --label $label --set=root
set prefix=(\$root)/boot/grub
configfile /boot/grub/grub.cfg" >/tmp/early.cfg
  grub-mkimage --format=i386-pc --output=/boot/grub/core.img --config=/tmp/early.cfg --prefix=/boot/grub \
    biosdisk part_gpt ext2 search search_label configfile normal linux echo serial terminal test gzio
  rm /tmp/early.cfg
  ;;
esac

# what is of one machine, not of an image
passwd --quiet --lock root
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /var/lib/systemd/random-seed /etc/hostname
: >/etc/machine-id
rm -f /etc/dpkg/dpkg.cfg.d/99mmdebstrap /etc/apt/apt.conf.d/99mmdebstrap
rm -rf /var/log/*.log /var/log/apt /var/cache/debconf/*-old /var/lib/dpkg/*-old
