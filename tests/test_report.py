"""The report: its numbers are eval's, it is small and whole, and a browser shows it without a complaint."""

import json
import re
import shutil
import subprocess
import sys
from copy import copy
from dataclasses import replace
from html import escape, unescape
from types import SimpleNamespace

import numpy as np
import pytest
from browser import browser, needs_browser
from clips import same

from stdo_min.cli import main
from stdo_min.commands import encode, report, report_page
from stdo_min.commands.eval import evaluate
from stdo_min.commands.picture import to_rgb
from stdo_min.commands.report import spoken
from stdo_min.commands.report_facts import Course, Curve, look
from stdo_min.format import sidecar
from stdo_min.player import frames, open_video
from stdo_min.video.frame_folder import open_source
from stdo_min.video.png import webp
from stdo_min.video.read import read_source

QUICK = ["--scale", "2", "--steps", "40", "--net", "4", "--patch", "12", "--memory", "16", "--mode", "stdo", "--chunks",
         "3", "--segment", "1s", "-q"]
NAME = "a <b> & 'film'"


@pytest.fixture(scope="module")
def folder(clip, tmp_path_factory):
    """A source, its film of two segments and several nets, and the page that encode made of it."""
    path = tmp_path_factory.mktemp("report")
    shutil.copy(clip, path / "source.mp4")
    assert main(["encode", str(path / "source.mp4"), str(path / f"{NAME}.mkv"), "--report", *QUICK]) == 0
    return path


@pytest.fixture(scope="module")
def film(folder):
    return folder / f"{NAME}.mkv"


@pytest.fixture(scope="module")
def page(folder):
    return (folder / f"{NAME}.html").read_text()


def data_of(page):
    return dict(re.findall(r'<data id="([^"]*)" value="([^"]*)"', page))


def failed(arguments, capsys):
    assert main([str(argument) for argument in arguments]) == 1
    return capsys.readouterr().err


def test_its_numbers_are_those_of_eval(folder, film, page, capsys):
    assert main(["eval", str(folder / "source.mp4"), str(film), "--json", "-q"]) == 0
    found, said = json.loads(capsys.readouterr().out), data_of(page)
    for name in ("frames", "psnr_y", "psnr_u", "psnr_v", "psnr_bicubic_y", "bytes_sidecar"):
        assert float(said[name]) == found[name], name
    assert len(found["nets"]) > 2
    for net in found["nets"]:
        assert int(said[f"net-{net['index']}-bytes"]) == net["bytes"]
        assert float(said[f"net-{net['index']}-gains"]) == net["gains"]
    assert int(said["bytes-of-map"]) == found["bytes_map"]
    parts = {name: int(value) for name, value in said.items() if name.startswith("bytes-of-")}
    assert parts.pop("bytes-of-all") == sum(parts.values()) == film.stat().st_size
    assert min(parts.values()) >= 0
    assert parts["bytes-of-nets-for-luma"] == sum(net["bytes"] for net in found["nets"])


def test_it_holds_all_that_it_shows(page):
    assert not re.search(r"https?:|//\w|@import|xmlns", re.sub(r"base64,[\w+/=]*", "", page))
    assert page.count('src="data:image/webp;base64,') == page.count("src=") == 9
    assert len(re.findall("<svg[^>]*role=.img. aria-label=", page)) == 5
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_names_are_escaped_and_the_command_is_there(page, folder):
    assert NAME not in page and f"<h1>{escape(f'{NAME}.mkv')}</h1>" in page
    command = unescape(re.search('<pre id="command">(.*?)</pre>', page)[1])
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, check=True, text=True).stdout
    assert words.splitlines() == ["stdo", "encode", "source.mp4", f"{NAME}.mkv", "--report", *QUICK]
    assert str(folder) not in page


@pytest.mark.parametrize(("given", "said"), [
    ("https://me:secret@a.org/b.mp4?token=1#x", "https://a.org/b.mp4"),
    ("https://me:s@cr@t@a.org/b@c.mp4", "https://a.org/b@c.mp4"), ("RTSP://me:s@a.org", "RTSP://a.org"),
    ("https://a.org/b@c.mp4?to=a@b", "https://a.org/b@c.mp4"),
    ("--sidecar=https://me:s@a.org/b", "--sidecar=https://a.org/b"),
    ("file:///home/me/b.mp4", "file://b.mp4"), ("/home/me/b.mp4", "b.mp4"), ("../me/frames/", "frames"),
    ("-o/home/me/b.html", "-ob.html"), ("--sidecar=/home/me/b.stdo", "--sidecar=b.stdo"), (".", "."), ("-", "-"),
    ("30000/1001", "30000/1001"), ("--scale=3/2", "--scale=3/2"), ("--force", "--force"), ("-q", "-q"),
])
def test_secrets_and_folders_are_left_out(given, said):
    assert spoken(["encode", given, "b.mkv"]) == f"stdo encode {said} b.mkv"


def test_training_curves_where_they_are_known(folder, film, page, tmp_path, capsys):
    assert 'id="training-figure_1"' in page
    out = tmp_path / "plain.html"
    assert main(["report", str(folder / "source.mp4"), str(film), "-o", str(out), "-q"]) == 0
    assert capsys.readouterr().out == f"{out}: {out.stat().st_size:,} bytes\n"
    plain = out.read_text()
    assert 'id="training-figure_1"' not in plain and "Not known: a sidecar does not hold how" in plain
    assert data_of(plain) == data_of(page)


def test_a_curve_keeps_some_points_and_passes_all_on():
    seen = []
    curve = Curve(lambda *told: seen.append(told))
    curve.note("sample", 0.0, float("nan"))
    for step in range(5000):
        curve.note("train", step / 5000, 30 + step)
    curve.note("assign", 1.0, float("nan"))
    curve.note("train", 1.0, 7.0)
    assert len(seen) == 5003
    (stage, points), other = curve.lines  # the other segment is a line of its own
    assert stage == "train" and points[0][1] == 30 and points[-1][1] == 5029
    assert 2 < len(points) < 5000
    assert other[0] == "train" and [decibel for _, decibel in other[1]] == [7.0]


def training(lines, afar=False):
    """What a page says of training."""
    curve = Curve(lambda *told: None)
    curve.lines, curve.afar = lines, afar
    return report_page._training(SimpleNamespace(curve=curve))


def test_what_is_said_of_training():
    lines = [("warm-up", [(0.0, 28.0), (1.0, 29.5)]), ("train", [(2.0, 30.0), (3.0, 31.25)]), ("train", [(4.0, 33.5)])]
    said = training(lines)
    assert "Warm-up ended at 29.50 dB; train ended at 31.25 to 33.50 dB, each segment anew.</p>" in said
    assert "other processes" not in said and "<svg" in said
    said = training(lines[:1], afar=True)
    assert "Segments were trained in other processes, which report no curve: only the warm-up is known." in said
    assert "Warm-up ended at 29.50 dB." in said and "<svg" in said
    assert training([], afar=True) == "<p>Segments were trained in other processes, which report no curve.</p>"
    assert training([]).startswith("<p>The run reported none")


def test_encode_knows_who_trains(folder, film, tmp_path, monkeypatch):
    told = []

    def encoded(*_, crew, **others):
        with crew(2):  # processes are begun when there is something to do
            return SimpleNamespace(path=film)

    def reported(source, video, page, given, curve, **others):
        told.append(curve.afar)
        page.touch()

    monkeypatch.setattr(encode, "encode", encoded)
    monkeypatch.setattr(encode, "report", reported)
    for jobs in (1, 2):
        assert main(["encode", str(folder / "source.mp4"), str(tmp_path / f"{jobs}.mkv"), "--report", "--jobs",
                     str(jobs), *QUICK]) == 0
    assert told == [False, True]


def test_the_frames_are_those_that_gained_least_middle_and_most(folder, film):
    source, video = folder / "source.mp4", open_video(film)
    course, gains = Course(video), []

    def watch(seen):
        course.add(seen)
        mse = [np.mean((seen.truth.y.astype(float) - shown.y) ** 2) for shown in (seen.base, seen.shown.hr)]
        gains.append(10 * np.log10(mse[0] / mse[1]))

    evaluate(source, video, watch=watch)
    assert np.allclose(course.gains, gains)
    chosen = dict(course.chosen())
    assert chosen["worst"] == np.argmin(gains) and chosen["best"] == np.argmax(gains)
    assert gains[chosen["median"]] == sorted(gains)[(len(gains) - 1) // 2]
    info = open_source(source)
    truths = list(read_source(info))
    assert not same(truths[:1], truths[1:2])
    for name, number in chosen.items():
        found = look(video, info, course, name, number)
        (shown,) = frames(video, 1, number, 1)
        assert np.array_equal(found.pictures[2], to_rgb(truths[number], "bt709", "tv"))
        assert np.array_equal(found.pictures[1], to_rgb(shown.hr, "bt709", "tv"))
        assert found.psnr - found.base_psnr == pytest.approx(gains[number])


@pytest.fixture(scope="module")
def facts(folder, film, tmp_path_factory):
    """What the page of the film says."""
    found, page = [], report_page.page
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "page", lambda facts: found.append(facts) or page(facts))
        out = tmp_path_factory.mktemp("facts") / "a.html"
        assert main(["report", str(folder / "source.mp4"), str(film), "-o", str(out), "-q"]) == 0
    return found[0]


@pytest.fixture
def quick_charts(monkeypatch):
    """Charts of one element, where they are not what is tested."""
    for name in ("psnr_chart", "map_chart", "bars_chart", "curve_chart"):
        monkeypatch.setattr(report_page, name, lambda *_: "<svg></svg>")


def noisy(facts, height, width, rows=0, columns=0):
    """The facts with three pictures of noise; rows, columns: of maps in pieces, as long as they are not 0."""
    rng = np.random.default_rng(0)
    pictures = tuple(rng.integers(0, 256, (3, height, width, 3), np.uint8))
    nets = rng.integers(0, len(facts.found["nets"]), (rows, columns)) if rows else facts.looks[0].nets
    looks = [replace(look, pictures=pictures, nets=nets, side=max(1, height // nets.shape[0])) for look in facts.looks]
    return replace(facts, looks=looks)


def test_pictures_that_would_be_too_many_bytes_are_cut(facts, monkeypatch, quick_charts):
    def sizes(room):
        monkeypatch.setattr(report_page, "PAGE", 0)
        monkeypatch.setattr(report_page, "FLOOR", room)
        page = report_page.page(facts)
        assert sum(map(len, re.findall(r"base64,([\w+/=]*)\"", page))) <= room
        return re.search(r"They are WebP of quality (\d+), (.*)\. ", page).groups()

    assert sizes(1 << 20) == ("95", "whole")
    quality, how = sizes(9 * 2000)
    assert quality == "80" and re.match(r"cut to \d+×\d+ where most was gained", how)


def test_pictures_get_what_charts_and_maps_leave(facts, monkeypatch, quick_charts):
    bare = len(report_page.page(noisy(facts, 2, 2)).encode())
    monkeypatch.setattr(report_page, "PAGE", bare + 200_000)
    monkeypatch.setattr(report_page, "FLOOR", 20_000)
    for pieces in ((0, 0), (40, 72)):
        page = report_page.page(noisy(facts, 120, 216, *pieces))
        assert 0.8 * report_page.PAGE < len(page.encode()) <= report_page.PAGE


def test_pictures_wider_than_a_webp_are_cut(facts, quick_charts):
    wide = noisy(facts, 2, 16_400)
    page = report_page.page(wide)
    assert "quality 95, cut to 16382×1 where" in page or "quality 95, cut to 16383×1 where" in page
    with pytest.raises(OSError, match="no WebP of 16400x2 pixels"):
        webp(wide.looks[0].pictures[0], 90)


def test_where_there_is_no_error(facts, quick_charts):
    """Nothing is told in dB of what has no error, and a lone frame without one is told apart."""
    def said(error, base_error):
        course = copy(facts.course)
        course.error, course.base_error = (np.full(course.frames, error), np.full(course.frames, base_error))
        course.base_chroma = np.zeros(2, np.int64)
        looks = [replace(look, psnr=course.decibel_of(0)[0], base_psnr=course.decibel_of(0)[1]) for look in facts.looks]
        found = {**facts.found, "psnr_u": None, "psnr_v": None}
        return report_page.page(replace(facts, course=course, found=found, looks=looks))

    page = said(0, 0)
    assert "U: bicubic no error, stdo <data id=\"psnr_u\" value=\"\">no error</data>; V: bicubic" in page
    assert "No frame has any error." in page and "drawn as if a single pixel" in page
    assert re.search(r"bicubic\n<data id=.worst_base_psnr. value=..>no error</data>, stdo <data", page)
    assert '<tr><th scope="row">median</th><td>no error</td><td>no error</td><td>no error</td></tr>' in page
    assert "no error</data> dB" not in page
    page = said(0, 12345)
    assert re.search(r'median</th><td>\d+\.\d\d</td><td>no error</td><td>no error</td></tr>', page)
    assert "drawn as if a single pixel" not in said(7, 12345)


def test_luma_is_not_charged_for_the_net_for_chroma(facts):
    parts = {**facts.parts, "net for chroma": 100}
    found = {**facts.found, "bytes_sidecar": 1100, "psnr_y": 34.0, "psnr_bicubic_y": 32.0, "psnr_v": None}
    said = report_page._bought(replace(facts, parts=parts, found=found))
    assert "All nets for luma with their map bought +2.00 dB of luma for 1.0 kB: 2.00 dB per kB." in said
    assert "By the rule of thumb that one per cent more bytes buys 0.04 dB, a kB more" in said
    assert re.search(r"The net for chroma bought [+−]\d+\.\d\d dB of U and V without error for 100 bytes\.", said)
    said = report_page._bought(replace(facts, parts=parts, found={**found, "nets": found["nets"][:1]}))
    assert said.startswith("The net for chroma bought")


def test_a_film_without_nets(folder, film, facts, tmp_path):
    parsed = sidecar.read(open_video(film).data)
    bare = [replace(segment, nets=(), map_data=b"", computed=False, chroma=None) for segment in parsed.segments]
    (tmp_path / "bare.stdo").write_bytes(sidecar.write(replace(parsed, segments=tuple(bare), known=())))
    out = tmp_path / "bare.html"
    assert main(["report", str(folder / "source.mp4"), str(film), "-o", str(out), "-q", "--sidecar",
                 str(tmp_path / "bare.stdo")]) == 0
    page = out.read_text()
    assert "There is no net for luma: bicubic alone upscales the lr video." in page and "plain video" not in page
    full = report_page._bars_of_nets({"nets": facts.found["nets"][:1], "scale": 1}, [0])
    assert "There is no net: plain video it is" in full


def test_nets_of_a_segment_differ_in_colour(film):
    course = Course(open_video(film))
    assert len(course.parsed.segments) == 2
    nets = tuple(copy(course.parsed.luma_nets[0]) for _ in range(12))
    halves = [replace(course.parsed.segments[0], nets=part) for part in (nets[:8], (nets[0], *nets[8:]))]
    course.parsed = replace(course.parsed, segments=tuple(halves), known=nets)
    colours = report_page.colours_of(course)
    assert colours[0] == 0 and sorted(colours[1:9]) == list(range(1, 9))
    assert len({colours[1], *colours[9:]}) == 5


# ---- What is refused, and what is not needed ----


def test_what_cannot_be_written(folder, film, tmp_path, capsys):
    source = folder / "source.mp4"
    assert "give it the ending .html" in failed(["report", source, film, "-o", tmp_path / "a.txt"], capsys)
    assert "exists" in failed(["report", source, film], capsys)
    shutil.copy(source, tmp_path / "film.html")
    said = failed(["encode", source, tmp_path / "film.mkv", "--report", *QUICK], capsys)
    assert "film.html" in said and "exists" in said
    assert {path.name for path in tmp_path.iterdir()} == {"film.html"}


def test_without_matplotlib(folder, tmp_path):
    """report and encode --report say what to install before any work; encode alone does without."""
    code = "import sys; sys.modules['matplotlib'] = None; from stdo_min.cli import main; sys.exit(main(sys.argv[1:]))"

    def run(*words):
        command = [sys.executable, "-c", code, *map(str, words)]
        return subprocess.run(command, capture_output=True, check=False, text=True)

    said = "stdo: matplotlib is not installed, which this command needs: pip install 'stdo-min[report]'\n"
    source, out = folder / "source.mp4", tmp_path / "out.mkv"
    for words in (["encode", source, out, "--report", *QUICK], ["report", source, folder / f"{NAME}.mkv", "--force"]):
        done = run(*words)
        assert (done.returncode, done.stderr) == (1, said)
    assert not any(tmp_path.iterdir())
    assert run("encode", source, out, *QUICK).returncode == 0


@pytest.mark.parametrize(("broken", "said"), [
    ({"imageio.v3": None}, "imageio.v3 is not installed, which PNG and WebP need"), ({}, "no WebP here"),
])
def test_without_webp(folder, film, tmp_path, monkeypatch, capsys, broken, said):
    """It is missed before any work."""
    for name, module in broken.items():
        monkeypatch.setitem(sys.modules, name, module)
    if not broken:
        monkeypatch.setattr(report, "webp", lambda *_: (_ for _ in ()).throw(OSError("no WebP here")))
    source = folder / "source.mp4"
    assert said in failed(["encode", source, tmp_path / "a.mkv", "--report", *QUICK], capsys)
    assert said in failed(["report", source, film, "-o", tmp_path / "a.html"], capsys)
    assert not any(tmp_path.iterdir())


def test_it_loads_nothing_that_trains():
    code = "import sys, stdo_min.commands.report; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert "stdo_min.commands.eval" in loaded
    assert not {"matplotlib", "numba", "PIL", "imageio"} & set(loaded)
    assert not [name for name in loaded if name.startswith(("stdo_min.algorithm", "stdo_min.engine"))]


# ---- In a browser ----


@pytest.fixture(scope="module")
def opened(folder, tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as session:
        session.post("/url", url=(folder / f"{NAME}.html").as_uri())
        yield session
        assert session.logged() == []  # after all that the tests did


SEEN = """const seen = document.querySelector('.look:not([hidden])');
const pictures = Object.fromEntries([...seen.querySelectorAll('img')].map(picture => [picture.dataset.is,
    [getComputedStyle(picture).visibility, getComputedStyle(picture).clipPath, picture.naturalWidth]]));
return {frame: seen.dataset.frame, pictures, map: !seen.querySelector('.map').hasAttribute('hidden') &&
    seen.querySelector('.map').getBoundingClientRect().width, says: seen.querySelector('figcaption').textContent,
    now: document.querySelector('#divide').getAttribute('aria-valuetext')};"""
RIGHT, END = "\ue014", "\ue010"


@needs_browser
def test_it_opens_without_a_complaint(opened):
    seen = opened.run(SEEN)
    assert seen["pictures"] == {"base": ["visible", "none", 160], "ours": ["visible", "inset(0px 0px 0px 50%)", 160],
                                "source": ["hidden", "none", 160]}
    assert seen["frame"] == "0" and seen["map"] is False and "gained the least" in seen["says"]
    assert opened.run("return document.documentElement.scrollWidth <= innerWidth")
    widths = opened.run("return [...document.querySelectorAll('.chart')].map(c => c.getBoundingClientRect().width)")
    assert len(widths) == 5 and min(widths) > 300
    assert opened.logged() == []


@needs_browser
def test_the_page_may_do_nothing_but_what_it_does(opened):
    """Its policy holds, so that the test above proves something: another script and an address are refused."""
    opened.run("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
               "const i = new Image(); i.src = 'http://127.0.0.1:9/a.png'; document.body.append(i);")
    assert opened.run("return window.ran === undefined")
    said = " ".join(line["message"] for line in opened.logged())
    assert "script" in said and "a.png" in said and "Content Security Policy" in said


@needs_browser
def test_the_slider_moves_by_keys(opened):
    opened.run("const d = document.querySelector('#divide'); d.value = 50; d.focus();")
    opened.press(RIGHT, RIGHT)
    seen = opened.run(SEEN)
    assert seen["pictures"]["ours"][1] == "inset(0px 0px 0px 52%)"
    assert seen["now"] == "bicubic on the left 52 %, stdo on the right 48 %"
    opened.press(END)
    assert opened.run(SEEN)["pictures"]["ours"][1] == "inset(0px 0px 0px 100%)"


@needs_browser
def test_frame_pictures_and_map_are_chosen(opened):
    opened.run("document.querySelectorAll('input[name=frame]')[1].focus()")
    opened.press(" ", RIGHT)
    seen = opened.run(SEEN)
    assert seen["frame"] == "2" and "gained the most" in seen["says"]
    opened.run("document.querySelector('#left').focus()")
    opened.press("s", "o")  # the option that begins so
    opened.run("document.querySelector('#map').focus()")
    opened.press(" ")
    seen = opened.run(SEEN)
    assert {kind: shown[0] for kind, shown in seen["pictures"].items()} == {"base": "hidden", "ours": "visible",
                                                                           "source": "visible"}
    assert seen["map"] > 300
    assert opened.run("return document.querySelector('.look:not([hidden]) .map path').getAttribute('d').length") > 5


@needs_browser
@pytest.mark.parametrize("narrow", [True, False])
def test_the_divider_stays_in_sight_at_every_size(opened, narrow):
    # The clip is small: even enlarged it scrolls in a narrow frame alone, and leaves room in a wide one.
    opened.run(f"document.querySelectorAll('.scroll').forEach(f => f.style.width = '{'100px' if narrow else ''}');"
               "divide.value = 30; zoom.value = '4'; zoom.dispatchEvent(new Event('input'));")
    scrolls, line, left, right = opened.run(
        "const l = document.querySelector('.look:not([hidden])'), f = l.querySelector('.scroll');"
        "const x = f.getBoundingClientRect().left, s = l.querySelector('.stage').clientWidth;"
        "const seen = Math.min(f.clientWidth, s), box = q => l.querySelector(q).getBoundingClientRect();"
        "return [f.scrollLeft > 0, (box('.line').left + 1 - x) / seen, box('.tag.left').left - x,"
        "x + seen - box('.tag.right').right]")
    opened.run("document.querySelectorAll('.scroll').forEach(f => f.style.width = '');"
               "zoom.value = '0'; zoom.dispatchEvent(new Event('input'));")
    assert scrolls == narrow
    assert line == pytest.approx(0.3, abs=0.01)
    assert (left, right) == pytest.approx((8, 8), abs=1)


@needs_browser
def test_the_theme_switches(opened):
    look = ("const s = getComputedStyle(document.body), t = document.querySelector('.chart text');"
            "return [s.backgroundColor, s.color, getComputedStyle(t).fill, theme.textContent]")
    before = opened.run(look)
    opened.run("document.querySelector('#theme').focus()")
    opened.press("\ue007")
    after = opened.run(look)
    assert (before[3], after[3]) == ("Dark theme", "Light theme")
    for ours, theirs in zip(before[:3], after[:3], strict=True):
        assert ours != theirs
    assert before[1] == before[2] and after[1] == after[2]  # letters of charts are as those of the page
