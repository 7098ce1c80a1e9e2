#!/bin/sh
# Starts apt-cacher-ng out of the node's root file system, in the host's own network. Run by
#   unshare --mount --propagation=slave -- sh package-proxy.sh ROOT FOLDER CACHE UID
# so that no mount is seen outside, and all are gone with the process. ROOT stays read-only; FOLDER/run (socket,
# logs) and CACHE are all that it can write to. It replaces itself all the way: its process number is that of
# apt-cacher-ng.
set -eu
root=$1 folder=$2 cache=$3 user=$4
echo $$ >"$folder/process"

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/tmp"

# an /etc with what is needed, and the host's name resolution and authorities
mkdir "$root/tmp/etc"
for name in passwd group nsswitch.conf ld.so.cache ld.so.conf ld.so.conf.d gai.conf services protocols ssl; do
  if [ -e "$root/etc/$name" ]; then cp -a "$root/etc/$name" "$root/tmp/etc/$name"; fi
done
for name in resolv.conf hosts; do
  if [ -e "/etc/$name" ]; then cp -L "/etc/$name" "$root/tmp/etc/$name"; fi
done
bundle=ssl/certs/ca-certificates.crt
if [ -e "/etc/$bundle" ]; then
  mkdir -p "$root/tmp/etc/ssl/certs"
  cp -L --remove-destination "/etc/$bundle" "$root/tmp/etc/$bundle"
fi
mkdir "$root/tmp/etc/apt-cacher-ng"
cp "$folder/acng.conf" "$root/tmp/etc/apt-cacher-ng/acng.conf"
mount --bind "$root/tmp/etc" "$root/etc"

mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
for name in null zero random urandom; do
  : >"$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
mkdir "$root/run/apt-cacher-ng"
mount --bind "$folder/run" "$root/run/apt-cacher-ng"
mount --bind "$cache" "$root/var/cache/apt-cacher-ng"

cd /
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --inh-caps=-all \
  --bounding-set=-all /usr/sbin/apt-cacher-ng -c /etc/apt-cacher-ng ForeGround=1
