"""Every tier: its kernels against the plain ones (check_kernels.c), conformance vectors, and how a tier is chosen."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from make_vectors import CASES, VECTORS, hashes, read_frames, reference_hashes
from samples import INCLUDE, LIBRARY, random_frame
from tiers import HERE, TIERS, cpu_words, of, require, require_all

from bench._float import float_upscaler
from stdo_min.format.base import base
from stdo_min.format.library import StdoError, Upscaler
from stdo_min.format.sidecar import read

CHECK = [Path(__file__).with_name("check_kernels.c"), *sorted((Path(__file__).parent / "check").glob("*.c"))]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
FLAGS = ["-std=c11", "-ffp-contract=off", *INCLUDE]
KERNELS = ["int8_load", "int8_hidden", "int8_last", "float32_load", "float32_hidden", "float32_last", "base_vertical",
           "hr_row", "hr_row_3_2", "int8_frame", "float32_frame", "train_row", "train_weights",
           "train_input_tiles", "train_gradient_tiles", "train_output_tiles", "train_errors", "train_net"]  # fmt: skip


@pytest.fixture(scope="session")
def check_kernels(once):
    """The program, built as the extension is."""
    if not COMPILERS:
        pytest.skip("no C compiler")

    def build(folder):
        program = folder / "check_kernels"
        subprocess.run([COMPILERS[0], "-O3", *FLAGS, *CHECK, *LIBRARY, "-lm", "-o", program], check=True)

    return once("check-kernels", build) / "check_kernels"


def said(program, *arguments, **more):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def require_every_pair(lines):
    """All kernels passed on all tiers of this CPU, and none on another."""
    assert {tuple(line.split(None, 3)[:3]) for line in lines} == {
        (kernel, tier, "ok" if tier in HERE else "skip:") for kernel in KERNELS for tier in TIERS}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel(check_kernels, kernel, tier):
    done = subprocess.run([check_kernels, kernel, tier], capture_output=True, text=True)
    if done.returncode == 2 and done.stdout.startswith("skip: "):
        assert tier not in HERE, done.stdout
        pytest.skip(f"{tier}: {done.stdout.strip().removeprefix('skip: ')}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split() == [kernel, tier, "ok"]


def test_the_list_is_complete(check_kernels):
    listed = {tuple(line.split()[:2]) for line in said(check_kernels, "--list")}
    assert listed == {(kernel, tier) for kernel in KERNELS for tier in TIERS}


def test_wrong_kernels_are_found(check_kernels):
    lines = said(check_kernels, "--self-test")
    assert len(lines) > 20 and all(line.startswith("caught ") for line in lines)


@pytest.mark.skipif("avx2" not in HERE, reason="this CPU has no avx2")
def test_avxvnni_where_the_system_hides_it(check_kernels):
    """Forced, it gives the bytes of c, or this CPU does not have it and says so; unforced, only CPUID counts."""
    for kernel in ("int8_load", "int8_hidden", "int8_last", "int8_frame"):
        done = subprocess.run([check_kernels, "--force", "avxvnni", "--quick", kernel, "avxvnni"],
                              capture_output=True, text=True)
        if done.returncode == 2:
            assert "avxvnni" not in HERE
            assert done.stdout == "skip: avxvnni was forced, and met an instruction that this CPU does not have\n"
            pytest.skip("this CPU has no avxvnni, nor hides one")
        assert done.stdout.split() == [kernel, "avxvnni", "ok"], done.stdout + done.stderr
    listed = [line.split()[1:3] for line in said(check_kernels, "--list")]
    assert (["avxvnni", "run"] in listed) == ("avxvnni" in HERE)


def test_the_bench_times_every_tier(check_kernels):
    lines = said(check_kernels, "--bench", "1")
    rows = [line.rsplit(None, 4) for line in lines[2:]]
    assert {(named.split()[0], tier) for named, tier, *_ in rows} == {
        (kernel, tier) for kernel in KERNELS if kernel.startswith(("int8_", "base_", "hr_")) and "frame" not in kernel
        for tier in HERE}
    assert all(float(cycles) > 0 and float(pixel) > 0 and float(ratio) > 0 for *_, cycles, pixel, ratio in rows)
    assert all(ratio == "1.00" for _, tier, _, _, ratio in rows if tier == "c")


@pytest.mark.skipif("clang" not in COMPILERS, reason="no clang")
def test_kernels_by_clang(tmp_path):
    program = tmp_path / "check_kernels"
    subprocess.run(["clang", "-O3", *FLAGS, *CHECK, *LIBRARY, "-lm", "-o", program], check=True)
    require_every_pair(said(program, "--quick"))


def test_kernels_under_the_sanitizers(sanitized, tmp_path):
    compiler, folder = sanitized
    program = tmp_path / "check_kernels"
    others = [path for path in LIBRARY if path.parent.name in ("float", "train", "measure")]  # which libstdo.a lacks
    subprocess.run([*compiler, "-ffp-contract=off", *CHECK, *others, folder / "libstdo.a", "-lm", "-o", program],
                   check=True)
    # Leak checking needs ptrace, which sandboxes forbid.
    require_every_pair(said(program, "--quick", env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}))


# ---- Conformance vectors ----


def vector(name):
    data = (VECTORS / f"{name}.stdo").read_bytes()
    sidecar = read(data)
    lines = (VECTORS / "hashes.txt").read_text().split("\n")
    expected = [line.split()[1:] for line in lines if line.startswith(f"{name} ")]
    return data, sidecar, read_frames(sidecar, (VECTORS / f"{name}.lr").read_bytes()), expected


def as_text(found):
    return [[str(frame), str(plane), f"{crc:08x}"] for frame, plane, crc in found]


@pytest.mark.parametrize("name", CASES)
def test_numpy_gives_the_hashes(name):
    _, sidecar, frames, expected = vector(name)
    assert as_text(reference_hashes(sidecar, frames)) == expected


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", CASES)
def test_tier_gives_the_hashes(name, tier):
    data, sidecar, frames, expected = vector(name)
    upscaler = Upscaler(data, tier)
    require(upscaler.tier, tier)
    assert as_text(hashes(sidecar, frames, upscaler.upscale)) == expected


# ---- Which tier runs ----


@pytest.mark.parametrize(("machine", "line", "tiers"), [
    ("x86_64", "flags\t\t: fpu sse2", []),
    ("x86_64", "flags : fma avx2 bmi2", ["avx2"]),
    ("x86_64", "flags : fma avx2 avx_vnni", ["avx2", "avxvnni"]),
    ("x86_64", "flags : fma avx2 avx512f avx512dq avx512bw avx512vl avx512_vnni", ["avx2", "avx512vnni"]),
    ("aarch64", "Features\t: fp asimd asimddp", ["neon", "neon_dot"]),
    ("riscv64", "isa : rv64gcv", []),
])
def test_what_the_system_says(machine, line, tiers):
    assert of(machine, cpu_words(f"processor : 0\n{line}\n")) == ["c", *tiers]


def test_the_best_tier_is_chosen_and_words_only_take_away(check_kernels, monkeypatch):
    data = (VECTORS / "8-8-x2.stdo").read_bytes()
    listed = [line.split() for line in said(check_kernels, "--list")]
    runs = [tier for kernel, tier, *result in listed if kernel == "hr_row" and result == ["run"]]
    assert runs == HERE
    monkeypatch.delenv("STDO_CPU", raising=False)
    assert Upscaler(data).tier == runs[-1]
    for allowed in TIERS:
        below = "avx2" if allowed == "avxvnni" and "avx2" in runs else "c"
        assert Upscaler(data, allowed).tier == (allowed if allowed in runs else below)
    assert Upscaler(data, ",".join(TIERS)).tier == runs[-1]
    monkeypatch.setenv("STDO_CPU", "c")
    assert Upscaler(data).tier == "c"
    assert Upscaler(data, "").tier == runs[-1]


@pytest.mark.parametrize("words", ["sse", "AVX2", "c,", ",c", "avx2 ", "avx", "c,x"])
def test_unknown_tiers_are_refused(monkeypatch, words):
    monkeypatch.setenv("STDO_CPU", words)
    with pytest.raises(StdoError, match=f"STDO_CPU={words}: unknown tier: use c, avx2") as caught:
        Upscaler((VECTORS / "8-8-x2.stdo").read_bytes())
    assert caught.value.status == "STDO_ERROR_TIER"


# ---- Float nets ----


def float_net(rng, planes, scale, hidden):
    layers, inputs = [], planes
    for kernel, out in [*hidden, (3, planes * scale * scale)]:
        weight = rng.normal(0, 1 / np.sqrt(kernel * kernel * inputs), (out, kernel, kernel, inputs))
        layers.append((weight.astype(np.float32), rng.normal(0, 1, out).astype(np.float32)))
        inputs = out
    layers[-1] = tuple(array * np.float32(0.3) for array in layers[-1])
    return layers


def float64_planes(layers, scale, lr):
    """The net and the base in float64, before rounding to pixels."""
    halo = sum(weight.shape[1] // 2 for weight, _ in layers)
    u = np.pad(np.stack(lr), ((0, 0), (halo, halo), (halo, halo)), "edge").transpose(1, 2, 0).astype(np.float64)
    for number, (weight, bias) in enumerate(layers):
        kernel = weight.shape[1]
        windows = np.lib.stride_tricks.sliding_window_view(u, (kernel, kernel), (0, 1))
        u = np.einsum("yxiab,oabi->yxo", windows, weight) + bias
        if number + 1 < len(layers):
            u = np.maximum(u, 0)
    height, width, planes = *lr[0].shape, len(lr)
    shuffled = u.reshape(height, width, planes, scale, scale).transpose(2, 0, 3, 1, 4)
    residual = shuffled.reshape(planes, height * scale, width * scale)
    return np.clip((np.stack([base(plane, scale) for plane in lr]) - 32) / 64 + residual, 0, 255)


@pytest.mark.parametrize(("colour", "scale", "hidden"), [
    (0, 4, [(5, 16), (3, 16)]), (1, 2, [(3, 20), (3, 7)]), (1, 4, [(3, 33)]), (0, 1, []), (0, 3, [(1, 1), (9, 40)]),
])  # fmt: skip
def test_float_tiers_agree_and_are_near_float64(colour, scale, hidden):
    rng = np.random.default_rng(scale)
    layers = float_net(rng, 3 if colour else 1, scale, hidden)
    lr = random_frame(rng, 41, 26, colour)
    found = {}
    for tier in TIERS:
        upscaler = float_upscaler(layers, scale, colour, (41, 26), tier)
        if upscaler.tier == tier:
            labels = np.ones((upscaler.rows, upscaler.columns), np.uint8)
            found[tier] = upscaler.upscale(0, labels, lr)
    require_all(found)
    for planes in found.values():
        for plane, plain in zip(planes, found["c"], strict=True):
            np.testing.assert_array_equal(plane, plain)
    served = 3 if colour else 1
    exact = float64_planes(layers, scale, lr[:served])
    # Rounding to pixels is half a level; the residual's 64ths and float32 add a little.
    assert np.abs(np.stack(found["c"][:served]) - exact).max() < 0.5 + 1 / 64


def test_float_net_refuses_bad_shapes():
    weight, bias = np.zeros((4, 3, 3, 1), np.float32), np.zeros(4, np.float32)
    one = np.zeros((1, 1, 1, 1), np.float32)
    for layers, scale in ([(weight, bias)], 3), ([], 2), ([(weight[:, :2, :2], bias)], 2), ([(one, bias[:1])] * 9, 1):
        with pytest.raises(StdoError) as caught:
            float_upscaler(layers, scale, 0, (16, 16))
        assert caught.value.status == "STDO_ERROR_NET"
    second = np.zeros((4, 3, 3, 4), np.float32)
    for layers in ([(weight, bias), (weight, bias)], [(weight, bias[:1]), (second, bias)], [(weight[:, :, 0], bias)]):
        with pytest.raises(ValueError, match="layer . has weight .* and bias"):
            float_upscaler(layers, 2, 0, (16, 16))
    with pytest.raises(StdoError) as caught:
        float_upscaler([(weight, bias)], 2, 0, (7, 16))
    assert caught.value.status == "STDO_ERROR_HEADER"
