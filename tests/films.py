"""Sources with several keyframes in every kind of container, to be opened in the middle."""

from clips import ffmpeg

RATE = "24000/1001"
FRAMES = 24 * 24  # before "cut" and "vfr"
X264 = ("-c:v", "libx264", "-g", "50")
CODERS = {
    "mp4": X264,
    "mkv": X264,
    "ts": X264,
    "webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50", "-c:a", "libopus"),
    "avi": ("-c:v", "mpeg4", "-bf", "2", "-q:v", "4"),
    "h264": (*X264, "-an"),
    "mpg": ("-r", "25", "-c:v", "mpeg2video", "-bf", "2", "-q:v", "4", "-c:a", "mp2"),
    # Every other half a second stands still; begins within a frame period.
    "vfr": ("-vf", "select=lt(mod(n\\,24)\\,13)", "-fps_mode", "vfr", *X264),
    "late": ("-vf", "setpts=PTS+0.6/FR/TB", "-fps_mode", "passthrough", "-enc_time_base:v", "1:24000", *X264),
}
KINDS = (*CODERS, "cut")
NO_INDEX = ("h264",)  # read from its start only


def film(folder, kind):
    """Path of a moving picture with sound, 80x48, 24 seconds, in a container of the `kind`.

    "cut" hides its first frames, a keyframe among them, by an edit list."""
    path = folder / f"{kind}.{kind if kind not in ('vfr', 'late', 'cut') else 'mp4' if kind == 'cut' else 'mkv'}"
    if path.exists():
        return path
    if kind == "cut":
        ffmpeg("-ss", "1.3", "-i", film(folder, "mp4"), "-c", "copy", path)
    else:
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=80x48:r={RATE}", "-f", "lavfi", "-i", "sine=330", "-t",
               f"{FRAMES * 1001 / 24000:.3f}", *CODERS[kind], path)
    return path
