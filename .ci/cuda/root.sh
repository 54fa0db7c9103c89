# A small root of Debian's unstable suite with LLVM 23 and a Mesa that has cooperative matrices, to be sourced from the
# project's root: `in_root COMMAND…` runs in it, in the project. Made once, in about 2 minutes and 3 GB; needs root rights.
project="$PWD"
root="${INTERFUSE_CUDA_ROOT:-/var/tmp/interfuse-cuda-root}"
target="${INTERFUSE_CUDA_TARGET:-/var/tmp/interfuse-cuda-target}"

if [ ! -e "$root/.ready" ]; then
    if ! command -v debootstrap >/dev/null; then
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install -y debootstrap
    fi
    # Debian's own mirror is the first that either kind of list names; a machine has one kind or the other.
    mirror="$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
        awk '!found && (/^URIs:/ || /^deb /) {print $2; found = 1}')"
    packages=ca-certificates,gcc,g++,libc6-dev,pkg-config,binutils,xz-utils
    debootstrap --variant=minbase --include="$packages" sid "$root" "$mirror"
    chroot "$root" apt-get install -y --no-install-recommends \
        llvm-23-dev llvm-23 zlib1g-dev libzstd-dev mesa-vulkan-drivers vulkan-tools
    # Where tracel-llvm-bundler 23.1.0-4 looks before it downloads; all that it asks is answered by llvm-config.
    bundle="$root/root/.local/share/tracel/tracel-llvm-23.1.0-4"
    mkdir -p "$bundle/bin"
    cat >"$bundle/bin/llvm-config" <<'WRAPPER'
#!/bin/sh
# Debian's, without what Debian packages apart (Polly) and with system libraries by bare name.
case "$*" in
  *--system-libs*) echo "-lrt -ldl -lm -lz -lzstd" ;;
  *--libs*) /usr/lib/llvm-23/bin/llvm-config "$@" | sed 's/-lPolly[A-Za-z]*//g' ;;
  *) exec /usr/lib/llvm-23/bin/llvm-config "$@" ;;
esac
WRAPPER
    chmod +x "$bundle/bin/llvm-config"
    touch "$bundle/.tracel-llvm-installed" "$root/.ready"
fi

mounted=()
unmount() { for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}"; done; }
bind() {
    mount --bind "$1" "$2"
    mounted+=("$2")
}

in_root() {
    mkdir -p "$target" "$root/project" "$root/target" "$root/root/.cargo" "$root/root/.rustup"
    # This machine's certificates and name servers, so that cargo reaches its registry from within.
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/root/certificates.crt"
    trap unmount EXIT
    bind "$project" "$root/project"
    bind "$target" "$root/target"
    bind "${CARGO_HOME:-$HOME/.cargo}" "$root/root/.cargo"
    bind "${RUSTUP_HOME:-$HOME/.rustup}" "$root/root/.rustup"
    bind /proc "$root/proc"
    bind /dev "$root/dev"
    chroot "$root" /usr/bin/env -u DOCS_RS HOME=/root PATH="/root/.cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        CARGO_HTTP_CAINFO=/root/certificates.crt CARGO_TARGET_DIR=/target /bin/bash -c 'cd /project && exec "$@"' in_root "$@"
}
