#!/bin/bash
#
# in_chroot.sh ROOT SOURCE DATA COMMAND...
#	Run COMMAND as root in the system ROOT, with the folder SOURCE at /src and
#	DATA (may be empty) at /data, both read-only.
#
# The system itself is not changed: what COMMAND writes goes to memory that is
# given back at its end.  Mounts, servers left running, shared memory and
# sockets are private too (own mount, process, IPC and network namespaces), so
# any number of runs can share one system.
set -euo pipefail

root=$(realpath "$1")
source=$(realpath "$2")
data=${3:+$(realpath "$3")}
shift 3

# The outer shell's part, inside the new namespaces.
enter()
{
	local root=$1 source=$2 data=$3 layer=${1%/*}/layer node

	shift 3
	mkdir -p "$layer"
	mount -t tmpfs -o mode=755 tmpfs "$layer"
	mkdir "$layer/upper" "$layer/work" "$layer/root"
	mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" \
		overlay "$layer/root" 2>/dev/null || mount --bind "$root" "$layer/root"
	root=$layer/root

	mount -t proc proc "$root/proc"
	mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
	for node in null zero full random urandom tty; do
		: >"$root/dev/$node"
		mount --bind "/dev/$node" "$root/dev/$node"
	done
	mkdir "$root/dev/pts" "$root/dev/shm"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"

	mount --bind "$source" "$root/src"
	mount -o remount,ro,bind "$root/src"
	if [ -n "$data" ]; then
		mount --bind "$data" "$root/data"
		mount -o remount,ro,bind "$root/data"
	fi
	ip link set lo up 2>/dev/null || true

	exec chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

export -f enter
exec unshare --mount --pid --fork --kill-child --ipc --net --uts --propagation private \
	bash -euc 'enter "$@"' enter "$root" "$source" "$data" "$@"
