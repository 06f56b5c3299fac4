#!/usr/bin/env bash
# vm-run - run a command as root under another Linux kernel, in a throw-away VM.
#
#   vm-run KERNEL -- COMMAND [ARG...]
#
# KERNEL   a version or the start of one (5.10, 6.1, 6.12, 6.1.0-56, 7.3): the
#          newest Debian cloud kernel that fits; or the path of a linux-image .deb.
# COMMAND  runs in the current directory over the host's root file system: it sees
#          the host's files (those on / and on the current directory's file
#          system), and what it writes is lost.
#          It gets PATH and HOME only (pass more with `env A=B COMMAND`), no
#          standard input, and stdout and stderr joined on our stdout.
# Exit status: COMMAND's own; 124 on timeout; 125 if the VM could not run it.
#
# Environment:  VM_TIMEOUT  seconds for the whole VM             (300)
#               VM_CPUS     virtual CPUs                         (the host's)
#               VM_MEM      memory, which also holds all writes  (2G)
#               VM_ROOT     directory to use as the root         (/)
#               VM_ACCEL    kvm or tcg (software emulation)      (kvm if it can work)
#               VM_CACHE    where kernels are kept               (~/.cache/vm-run)
#               VM_QEMU_ARGS  more QEMU options, split on spaces
#
# The guest has lo up, eth0 and eth1 (virtio_net, wired to each other, down),
# bpffs, tracefs, debugfs and cgroup2 mounted, and loads other modules on demand.
#
# Needs root and: apt-get install qemu-system-x86 busybox-static   (Debian 12)
set -euo pipefail

die() { echo "vm-run: $*" >&2; exit 125; }
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/qemu:/usr/libexec # the last two: virtiofsd

if [ $# -lt 3 ] || [ "$2" != -- ]; then sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 125; fi
kernel=$1; shift 2
[ "$(id -u)" = 0 ] || die "must run as root"
for tool in qemu-system-x86_64 virtiofsd busybox unshare findmnt; do
    command -v $tool >/dev/null ||
        die "no $tool here; try: apt-get install qemu-system-x86 busybox-static"
done
busybox=$(readlink -f "$(command -v busybox)")
cpus=${VM_CPUS:-$(nproc)} mem=${VM_MEM:-2G} limit=${VM_TIMEOUT:-300}
root=$(readlink -f "${VM_ROOT:-/}")
cache=${VM_CACHE:-${HOME:-/root}/.cache/vm-run}
mkdir -p "$cache/apt/lists/partial"

work=$(mktemp -d "${TMPDIR:-/tmp}/vm-run.XXXXXX") fetch=$(mktemp -d "$cache/fetch.XXXXXX") qemu_pid='' fs_pid=''
mkdir -p "$work/share/root" "$work/share/modules"
cleanup() {
    for p in $qemu_pid $fs_pid; do kill "$p" 2>/dev/null && wait "$p"; done || true
    rm -rf "$fetch" "$work/initramfs"; rm -f "$work"/*.*
    # Never rm -r here: virtiofsd sees the host's root mounted below share.
    rmdir "$work/share/root" "$work/share/modules" "$work/share" "$work" || true
}
trap cleanup EXIT; trap 'exit 130' INT; trap 'exit 143' TERM

# --- the kernel: $cache/PACKAGE holds boot/ and lib/modules/ of one package ---

# Debian suites beyond the host's own, through a private apt state: the host's
# apt configuration is not touched.
suites="debian bullseye|debian-security bullseye-security|debian bookworm
debian-security bookworm-security|debian trixie|debian-security trixie-security
debian trixie-backports"
private=(-o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$cache/apt/lists" -o Dir::Cache="$cache/apt"
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)

# newest [APT-OPTION...]: the newest signed cloud kernel for $kernel, if any.
# The second grep leaves out the meta packages, which name no full version.
newest() {
    apt-cache "$@" search --names-only "^linux-image-${kernel//[.+]/[.+]}([-.+].*)?cloud-amd64\$" |
        cut -d' ' -f1 | grep -E '^linux-image-[0-9]+\.[0-9]+\.[0-9]' | sort -V | tail -n1
}

# unpack NAME DEB...: into $cache/NAME, whole or not at all.
unpack() {
    local name=$1 t=$fetch/new deb; shift
    for deb in "$@"; do dpkg-deb -x "$deb" "$t" || die "cannot unpack $deb"; done
    # Newer packages have their modules, and then the kernel too, under /usr/lib.
    if [ -d "$t/usr/lib/modules" ]; then mkdir -p "$t/lib"; mv "$t/usr/lib/modules" "$t/lib/"; fi
    mkdir -p "$t/boot"; mv "$t"/lib/modules/*/vmlinuz "$t/boot/vmlinuz-" 2>/dev/null || true
    ls "$t"/boot/vmlinuz-* "$t"/lib/modules/*/kernel >/dev/null 2>&1 || die "no kernel and modules in: $*"
    "$busybox" depmod -b "$t" "$(basename "$t"/lib/modules/*)"
    mv -T "$t" "$cache/$name" 2>/dev/null || true # if it fails, another run was faster
}

if [[ $kernel = *.deb ]]; then
    [ -f "$kernel" ] || die "no file $kernel"
    name=$(basename "$kernel" .deb)
    [ -d "$cache/$name" ] || unpack "$name" "$kernel"
else
    kernel=${kernel#linux-image-} kernel=${kernel%-cloud-amd64} # full names do too
    # A cached kernel that fits wins (no apt, same kernel each time); remove it
    # from the cache to move on to a newer one.
    name=$(cd "$cache" && ls -d linux-image-"$kernel"[-.+]*cloud-amd64 2>/dev/null | sort -V | tail -n1) || true
    if [ -z "$name" ]; then
        apt=() name=$(newest) || true
        if [ -z "$name" ]; then
            apt=("${private[@]}")
            mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
                sed -En 's#/debian(-security)?/?$##p' | head -n1) # the host's own
            [ -n "$mirror" ] || die "no Debian archive in the host's apt sources"
            tr '|' '\n' <<<"$suites" | while read -r archive suite; do
                echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
                    "$mirror/$archive $suite main"
            done >"$cache/apt/sources.list"
            apt-get "${apt[@]}" -qq update >&2 || die "apt-get update failed"
            name=$(newest "${apt[@]}") || die "no Debian cloud kernel $kernel in: ${suites//[$'\n'|]/, }"
        fi
        # From 7.2 on, linux-image only depends on two packages with the files.
        parts=$(apt-cache "${apt[@]}" depends "$name" | grep -oE 'linux-(binary|modules)-[0-9].*') || true
        # shellcheck disable=SC2086  # $parts is a list
        (cd "$fetch" && apt-get "${apt[@]}" -qq -o APT::Sandbox::User=root download "$name" $parts >&2) ||
            die "cannot download $name (stale lists? try apt-get update)"
        unpack "$name" "$fetch"/*.deb
    fi
fi
image=$(ls "$cache/$name"/boot/vmlinuz-*) modules=$cache/$name/lib/modules
release=$(basename "$modules"/*)

# --- what the guest boots from: busybox, two scripts and a few modules ---

i=$work/initramfs; mkdir -p "$i/bin"
cp "$busybox" "$i/bin/busybox"
quoted=; for a in "$@"; do quoted+=" '${a//\'/\'\\\'\'}'"; done
for v in PWD PATH HOME; do a=${!v:-/}; echo "export $v='${a//\'/\'\\\'\'}'"; done >"$i/command"
echo "cd \"\$PWD\" && exec$quoted" >>"$i/command"

# The modules needed to reach the shared root, with what they depend on; some
# are built in to some kernels.
boot_modules="virtio_pci virtio_console virtiofs overlay"
mkdir -p "$i/lib/modules/$release"
(
    cd "$modules/$release"
    for m in $boot_modules; do grep -E "/$m\.ko(\.xz)?:" modules.dep || true; done |
        tr ': ' '\n' | sort -u | xargs -r cp --parents -t "$i/lib/modules/$release" modules.dep
)

# First script: reach the root, lay a writable layer over it, move there.
cat >"$i/init" <<EOF
#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /sys /dev /shared /layer /new
busybox mount -t proc proc /proc; busybox --install -s /bin
mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in $boot_modules; do modprobe \$m 2>/dev/null; done
mount -t virtiofs shared /shared || exec poweroff -f
mount -t tmpfs -o size=90% layer /layer && mkdir /layer/files /layer/work
mount -t overlay -o lowerdir=/shared/root,upperdir=/layer/files,workdir=/layer/work root /new || exec poweroff -f
mkdir -p /new/.vm /new/proc /new/sys /new/dev /new/run /new/tmp /new/lib/modules
mount --bind /shared/modules /new/lib/modules
cp /bin/busybox /start /command /new/.vm/
exec switch_root /new /.vm/busybox sh /.vm/start
EOF

# Second script, in the new root: set the system up, run the command, stop.
cat >"$i/start" <<'EOF'
/.vm/busybox mount -t proc proc /proc
/.vm/busybox --install -s /.vm   # the shared root may lack modprobe, ip, ...
PATH=/.vm
mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 pts /dev/pts
mount -t tmpfs shm /dev/shm; mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debug /sys/kernel/debug; mount -t tracefs trace /sys/kernel/tracing
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd; for n in 0:stdin 1:stdout 2:stderr; do ln -sf fd/${n%:*} /dev/${n#*:}; done
echo /.vm/modprobe >/proc/sys/kernel/modprobe   # the kernel's own module loading
for m in veth virtio_net sch_ingress cls_bpf nf_tables; do
    modprobe $m 2>/dev/null || echo "vm-run: no module $m" >/dev/kmsg
done
hostname vm; ip link set lo up
port() { for p in /sys/class/virtio-ports/*; do [ "$(cat $p/name)" = $1 ] && echo /dev/${p##*/}; done; }
until [ "$(port status)" ]; do sleep 0.1; done
# A port can be opened once only, hence the pipe: /dev/stderr must stay usable.
mkfifo /run/.vm-output; cat /run/.vm-output >$(port output) & cat=$!
sh=/bin/sh; [ -x $sh ] || sh=/.vm/sh            # busybox sh would prefer its own tools
$sh /.vm/command >/run/.vm-output 2>&1 </dev/null; status=$?
{ sleep 2; kill $cat; } 2>/dev/null &           # if something left behind holds the pipe
wait $cat
echo $status >$(port status)
poweroff -f
EOF
chmod +x "$i/init"
(cd "$i" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$work/initramfs.cpio"

# --- run ---

# The pvm flavour of KVM (nested clouds) opens, but cannot run a stock kernel.
how=tcg args=
[ ! -w /dev/kvm ] || [ -d /sys/module/kvm_pvm ] || how=kvm
case ${VM_ACCEL:-$how} in
    kvm) accel=(-accel kvm -cpu host) ;;
    # One thread for all virtual CPUs: with a thread each, a CPU can run code that
    # another has just patched ("Oops: int3"), and attaching BPF programs patches.
    # Without tsc=reliable the guest may choose a clock that costs a device access per read.
    tcg) accel=(-accel "tcg,thread=single" -cpu "max,la57=off") args="clocksource=tsc tsc=reliable" ;;
    *) die "VM_ACCEL must be kvm or tcg, not $VM_ACCEL" ;;
esac

# The share is built from read-only bind mounts in a mount namespace of its own,
# so that the host sees none of it and nothing stays behind.
below=/; [ "$root" != / ] || below=$(findmnt -no TARGET -T "$PWD") ||
    die "cannot tell which file system holds $PWD"
unshare -m sh -c '
    ro() { mount --bind "$1" "$2" && mount -o remount,bind,ro "$2"; }
    cd "$1" && ro "$2" share/root && ro "$3" share/modules &&
    { [ "$4" = / ] || ro "$4" "share/root$4"; } && mount -t tmpfs none /run &&
    exec virtiofsd --socket-path="$1/fs.socket" -o source="$1/share" -o sandbox=chroot \
        -o cache=always -o log_level=err' sh "$work" "$root" "$modules" "$below" 2>"$work/fs.log" &
fs_pid=$!
for _ in $(seq 50); do [ -S "$work/fs.socket" ] && break; sleep 0.1; done
[ -S "$work/fs.socket" ] || die "virtiofsd did not start: $(cat "$work/fs.log")"

# Output goes through a pipe and cat: QEMU would make our own stdout non-blocking.
mkfifo "$work/output.pipe"; cat "$work/output.pipe" & cat_pid=$!
# shellcheck disable=SC2086  # VM_QEMU_ARGS is split on purpose
timeout -k 5 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
    -machine q35,memory-backend=mem "${accel[@]}" -smp "$cpus" -m "$mem" \
    -object memory-backend-memfd,id=mem,size="$mem",share=on \
    -kernel "$image" -initrd "$work/initramfs.cpio" -append "console=ttyS0 loglevel=5 panic=-1 net.ifnames=0 $args" \
    -serial file:"$work/console.log" \
    -chardev socket,id=fs,path="$work/fs.socket" -device vhost-user-fs-pci,chardev=fs,tag=shared \
    -device virtio-serial-pci -chardev file,id=out,path="$work/output.pipe" -chardev file,id=status,path="$work/status.log" \
    -device virtserialport,chardev=out,name=output -device virtserialport,chardev=status,name=status \
    -netdev hubport,id=n0,hubid=0 -device virtio-net-pci,netdev=n0,romfile= \
    -netdev hubport,id=n1,hubid=0 -device virtio-net-pci,netdev=n1,romfile= \
    ${VM_QEMU_ARGS:-} </dev/null >"$work/qemu.log" 2>&1 &
qemu_pid=$!
ended=0; wait $qemu_pid || ended=$?
qemu_pid=
: <>"$work/output.pipe" # lets cat go if QEMU never opened the pipe
wait $cat_pid || true

status=$(tr -dc 0-9 <"$work/status.log" 2>/dev/null) || true
if grep -aE 'WARNING: |BUG: |Oops|Kernel panic|Out of memory' "$work/console.log" >&2; then
    echo "vm-run: the kernel complained (above)" >&2
fi
[ -z "$status" ] || exit "$status"
if [ $ended = 124 ] || [ $ended = 137 ]; then echo "vm-run: timed out after $limit s" >&2; exit 124; fi
tail -n 20 "$work/console.log" "$work/qemu.log" >&2 || true
die "the VM ($name) ended without running the command to its end (QEMU status $ended)"
