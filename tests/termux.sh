#!/usr/bin/env bash
# What a phone does, as far as a PC can: an arm64 Debian without numba, scipy and the ffmpeg wheel, clang as cc, run by qemu.
# Installs the sdist with pip, decodes the conformance vectors with stdo and stdo-y4m, and compares with this machine.
# As root, on Debian: apt install debootstrap qemu-user-static. Some 2 GB in build/termux, ten minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 root=$PWD/build/termux
formats=/proc/sys/fs/binfmt_misc
packages=clang,python3-pip,python3-numpy,python3-cffi,python3-ply,python3-setuptools,python3-wheel,python3-dev,libc6-dev,make,ffmpeg

for tool in debootstrap qemu-aarch64-static dpkg-deb; do
    command -v $tool >/dev/null || { echo "$tool not found: apt install debootstrap qemu-user-static"; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "must be root, for chroot"; exit 1; }

# The kernel hands arm64 programs to qemu; F: opened now, so that it is found inside the root too.
[ -e $formats/register ] || mount -t binfmt_misc none $formats
[ -e $formats/stdo-aarch64 ] || printf '%s' ':stdo-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00'`
    `'\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'`
    `"$(command -v qemu-aarch64-static):F" > $formats/register
trap 'echo -1 > $formats/stdo-aarch64' EXIT

if [ ! -e "$root/ready" ]; then
    rm -rf "$root"
    debootstrap --variant=minbase --arch=arm64 --foreign --include=$packages bookworm "$root"
    # Unpacked here and not configured: under qemu that alone would take half an hour.
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -C "$root" -x --keep-directory-symlink
        rm "$package"
    done
    ln -s clang "$root/usr/bin/cc"
    printf '/usr/lib/aarch64-linux-gnu/%s\n' blas lapack > "$root/etc/ld.so.conf.d/alternatives.conf"
    chroot "$root" /sbin/ldconfig
    touch "$root/ready"
fi

rm -rf "$root/work" && mkdir "$root/work"
"$python" -c 'import sys; from setuptools.build_meta import build_sdist; print(build_sdist(sys.argv[1]))' "$root/work" > /dev/null
tar -C "$root/work" -xzf "$root"/work/stdo*.tar.gz
# As in Termux, where there is no wheel of it: without the ffmpeg inside.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary imageio-ffmpeg imageio-ffmpeg -d "$root/work"
"$python" tests/termux_clips.py "$root/work"

chroot "$root" /bin/sh -eu -c '
    cd /work
    export CC=clang LDSHARED="clang -shared" # as the Python of Termux has it; that of Debian was built by gcc
    pip install --quiet --no-index --no-deps --no-build-isolation --break-system-packages imageio* stdo*.tar.gz
    if python3 -c "import numba" 2>/dev/null || python3 -c "import scipy" 2>/dev/null; then
        echo "numba or scipy is there: the player would be tested with it"; exit 1
    fi
    make -s -C stdo-min-*/csrc BUILD=/work/lib
    stdo info d16-x4.mkv | grep tier
    for clip in *.mkv; do
        name=${clip%.mkv}
        stdo decode -q $clip $name.hr.y4m > /dev/null
        stdo pipe $clip > $name.pipe.y4m
        ffmpeg -v error -i $clip -f yuv4mpegpipe - | lib/stdo-y4m $name.stdo > $name.c.y4m
    done
    if stdo encode d16-x4.mkv no.mkv 2> refused; then echo "encode ran without numba"; exit 1; fi
    cat refused
    grep -q "pip install .stdo-min\[train\]." refused
'
"$python" tests/termux_clips.py --compare "$root/work"
echo "$(date +%F): $(. "$root/etc/os-release" && echo "$PRETTY_NAME") arm64, clang, Python" \
     "$(chroot "$root" /usr/bin/python3 -c 'import platform, numpy, cffi; print(platform.python_version() + ", numpy " +
        numpy.__version__ + ", cffi " + cffi.__version__)'): all bytes are those of $(uname -m)"
