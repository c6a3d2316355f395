/* Upscales a y4m stream: the player without Python. `stdo pipe` gives the same bytes. */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime: Android has C11's timespec_get only since release 10 */
#include "cores.h"
#include "md5.h"
#include "pipeline.h"
#include "player.h"
#include <stdo/stdo.h>
#include "y4m.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>

/* Otherwise Windows takes some bytes for the end of a line, or of the file. */
static void keep_every_byte(void)
{
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
}
#else
static void keep_every_byte(void) {}
#endif

static const char usage[] =
    "usage: stdo-y4m [options] SIDECAR < lr.y4m > hr.y4m\n"
    "\n"
    "Upscales a low-resolution video, as 8-bit 4:2:0 y4m on stdin, by its sidecar:\n"
    "\n"
    "    ffmpeg -i low.mp4 -f yuv4mpegpipe - | stdo-y4m low.stdo | mpv -\n"
    "\n"
    "  --threads N|auto  threads to use, 1..256; auto, the default: one for each fast core\n"
    "  --start FRAME     the stream begins at this frame of the video, counted from 0\n"
    "  --strip KIB       what the rows between a net's layers may take, 8..65536; less than 384, the\n"
    "                    default, may be faster where a core has less than 512 KiB of L2 cache\n"
    "  --md5             write no video but the MD5 of all its planes, as md5sum prints it\n"
    "  --null            write no video but a line with frames, seconds and frames per second\n"
    "  --help, --version\n"
    "\n"
    "The environment's STDO_CPU says which implementations may run, with commas: c, avx2, avxvnni,\n"
    "avx512vnni, neon, neon_dot, neon_i8mm. All give the same bytes.\n"
    "Exit code: 0 if every frame of the sidecar was upscaled, 1 if not, 2 for a wrong option.\n";

enum { LARGEST_SIDECAR = 1 << 30 };

typedef enum output { OUTPUT_VIDEO, OUTPUT_MD5, OUTPUT_NULL } output;

typedef struct options {
    const char *sidecar;
    unsigned threads;
    uint32_t start;
    uint32_t strip;             /* KiB; 0: the library's choice */
    output output;
} options;

/* One line to stderr; gives 0, so that callers can return it. */
static int complain(const char *format, ...)
{
    va_list values;
    fputs("stdo-y4m: ", stderr);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    putc('\n', stderr);
    return 0;
}

/* ---- Options ---- */

static int parse_number(const char *text, uint32_t least, uint32_t most, uint32_t *number)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= most; at++) value = value * 10 + (uint64_t)(*at - '0');
    *number = (uint32_t)value;
    return at != text && *at == '\0' && value >= least && value <= most;
}

static unsigned automatic_threads(void)
{
    const unsigned fast = fast_cores();
    return fast < PIPELINE_THREADS ? fast : PIPELINE_THREADS;
}

/* Gives the exit code with which to end at once, or -1 to go on. */
static int parse_options(int count, char **words, options *o)
{
    int plain = 0; /* after -- */
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : "";
        if (plain || word[0] != '-') {
            if (o->sidecar != NULL) return complain("%s: one sidecar only; see --help", word), 2;
            o->sidecar = word;
        } else if (strcmp(word, "--") == 0) {
            plain = 1;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            return fputs(usage, stdout) == EOF || fflush(stdout) != 0;
        } else if (strcmp(word, "--version") == 0) {
            return printf("stdo-y4m %s\n", STDO_VERSION) < 0 || fflush(stdout) != 0;
        } else if (strcmp(word, "--md5") == 0) {
            o->output = OUTPUT_MD5;
        } else if (strcmp(word, "--null") == 0) {
            o->output = OUTPUT_NULL;
        } else if (strcmp(word, "--threads") == 0) {
            uint32_t threads = automatic_threads();
            if (strcmp(value, "auto") != 0 && !parse_number(value, 1, PIPELINE_THREADS, &threads))
                return complain("--threads '%s': a number of 1..%d, or auto", value, PIPELINE_THREADS), 2;
            o->threads = threads;
            i++;
        } else if (strcmp(word, "--start") == 0) {
            if (!parse_number(value, 0, (1 << 24) - 1, &o->start))
                return complain("--start '%s': a frame of 0..%d", value, (1 << 24) - 1), 2;
            i++;
        } else if (strcmp(word, "--strip") == 0) {
            if (!parse_number(value, 8, 1 << 16, &o->strip))
                return complain("--strip '%s': KiB of 8..%d", value, 1 << 16), 2;
            i++;
        } else {
            return complain("%s: no such option; see --help", word), 2;
        }
    }
    if (o->sidecar == NULL) return complain("which sidecar? see --help"), 2;
    return -1;
}

/* ---- The sidecar ---- */

static stdo_sidecar *open_sidecar(const char *path, uint32_t strip)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) return complain("%s: cannot be opened; name the .stdo file of the video", path), NULL;
    uint8_t *data = NULL;
    size_t size = 0, room = 0;
    int sound = 1;
    while (sound && !feof(file)) {
        if (size == room) {
            room = room == 0 ? 1 << 16 : 2 * room;
            if (room > LARGEST_SIDECAR) room = (size_t)LARGEST_SIDECAR + 1; /* one more, to see the end */
            uint8_t *more = size <= LARGEST_SIDECAR ? realloc(data, room) : NULL;
            if (more == NULL) {
                sound = complain("%s: more than %zu bytes, and no room for them", path, size);
                break;
            }
            data = more;
        }
        size += fread(data + size, 1, room - size, file);
        if (ferror(file)) sound = complain("%s: cannot be read", path);
    }
    fclose(file);

    stdo_sidecar *sidecar = NULL;
    if (sound) {
        const char *tiers = getenv("STDO_CPU");
        const stdo_options how = {.size = sizeof how, .tiers = tiers, .how = STDO_LAZY,
                                  .strip = (uint64_t)strip << 10};
        const stdo_status status = stdo_open(data, size, &how, &sidecar);
        if (status == STDO_ERROR_TIER) complain("STDO_CPU=%s: %s", tiers, stdo_status_string(status));
        else if (status != STDO_OK) complain("%s: %s", path, stdo_status_string(status));
    }
    free(data);
    return sidecar;
}

/* ---- Streams ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int check_stream(const y4m_header *header, const stdo_info *info, const char *sidecar)
{
    if (header->width == info->lr_width && header->height == info->lr_height) return 1;
    return complain("%s: made for a video of %ux%u, the stream has %ux%u; give the sidecar of this video", sidecar,
                    (unsigned)info->lr_width, (unsigned)info->lr_height, (unsigned)header->width,
                    (unsigned)header->height);
}

/* Turns the lr stream's header into the hr stream's. What is missing in it is filled in as `stdo pipe` does. */
static void describe_hr(y4m_header *header, const stdo_info *info)
{
    header->width = info->hr_width;
    header->height = info->hr_height;
    header->interlace = 'p';
    strcpy(header->chroma, info->chroma ? "420mpeg2" : "420jpeg");
    if (header->rate[0] == '\0' || header->rate[0] == '0') strcpy(header->rate, "25:1");
    if (header->aspect[0] == '\0' || header->aspect[0] == '0') strcpy(header->aspect, "1:1");
    if (header->range[0] == '\0') strcpy(header->range, "LIMITED");
}

static int write_failed(void) { return complain("stdout takes no more: the disk is full, or its reader has ended"); }

/* Ends the program where stdout fails: the thread that reads may be waiting for a frame that never comes. */
static void write_frame(void *context, uint32_t frame)
{
    const player *p = context;
    if (y4m_write_frame(stdout, player_hr(p, frame), p->hr_size)) return;
    write_failed();
    _Exit(1);
}

static void add_frame(void *context, uint32_t frame)
{
    player *p = context;
    md5_add(&p->sum, player_hr(p, frame), p->hr_size);
}

/* What is wrong with the stream, if anything. */
static int ended_well(const options *o, const player *p)
{
    const unsigned number = (unsigned)p->end_number, frames = (unsigned)p->info.frames;
    switch (p->end) {
    case PLAYER_STREAM_ENDS:
        if (number == frames) return 1;
        return complain("stdin: ends after frame %u of %u; is what writes it still alive?", number, frames);
    case PLAYER_BAD_FRAME: return complain("stdin, frame %u: %s", number, y4m_status_string(p->status));
    case PLAYER_TOO_MANY:
        return complain("stdin: more frames than the %u of %s; give the sidecar of this video", frames, o->sidecar);
    case PLAYER_OTHER_VIDEO:
        return complain("stdin: its pictures up to frame %u are not those that %s was made for; give the sidecar of "
                        "this video%s", number, o->sidecar, o->start > 0 ? ", and the right --start" : "");
    case PLAYER_NO_MEMORY:
        return complain("%s: not enough memory for the nets from frame %u on", o->sidecar, number);
    }
    return 0;
}

static int run(const options *o, player *p)
{
    y4m_header header;
    const y4m_status status = y4m_read_header(stdin, &header);
    if (status != Y4M_OK) return complain("stdin: %s", y4m_status_string(status));
    if (!check_stream(&header, &p->info, o->sidecar)) return 0;
    describe_hr(&header, &p->info);
    if (o->output == OUTPUT_VIDEO && !y4m_write_header(stdout, &header)) return write_failed();

    static void (*const write[])(void *, uint32_t) = {
        [OUTPUT_VIDEO] = write_frame, [OUTPUT_MD5] = add_frame, [OUTPUT_NULL] = NULL};
    const pipeline steps = {p, player_read, player_upscale, write[o->output], p->bands, PLAYER_LR_FRAMES, p->hr_frames};
    p->start = o->start;
    md5_start(&p->sum);
    const double begun = seconds();
    pipeline_run(&steps, o->threads);
    const double took = seconds() - begun;
    if (!ended_well(o, p)) return 0;

    const unsigned frames = (unsigned)(p->end_number - o->start);
    char text[33];
    md5_end(&p->sum, text);
    if (o->output == OUTPUT_MD5) printf("%s\n", text);
    if (o->output == OUTPUT_NULL)
        printf("%u frames of %ux%u in %.3f s: %.2f fps (%s)\n", frames, (unsigned)p->info.hr_width,
               (unsigned)p->info.hr_height, took, frames / took, stdo_tier(p->sidecar));
    return fflush(stdout) == 0 || write_failed();
}

static int play(const options *o, stdo_sidecar *sidecar)
{
    player p = {.sidecar = NULL};
    /* Without a writer beside the rest, one hr frame will do: then unchanged patches need not even be copied. */
    const uint32_t hr_frames = o->threads == 1 || o->output == OUTPUT_NULL ? 1 : PLAYER_HR_FRAMES;
    int sound = player_new(&p, sidecar, o->threads, hr_frames);
    if (sound) sound = run(o, &p);
    else complain("not enough memory for frames of %ux%u and %u threads", (unsigned)p.info.hr_width,
                  (unsigned)p.info.hr_height, o->threads);
    player_free(&p);
    return sound;
}

int main(int count, char **words)
{
    options o = {.threads = automatic_threads()};
    keep_every_byte();
    const int code = parse_options(count, words, &o);
    if (code >= 0) return code;

    stdo_sidecar *sidecar = open_sidecar(o.sidecar, o.strip);
    if (sidecar == NULL) return 1;
    stdo_info info = {.size = sizeof info};
    int sound = 0;
    if (stdo_get_info(sidecar, &info) != STDO_OK) abort();
    if (info.colour != STDO_COLOUR_YUV420)
        complain("%s: its nets are for RGB frames, and y4m has 4:2:0; use one that stdo encode made", o.sidecar);
    else if (o.start >= info.frames)
        complain("--start %u: %s has %u frames", (unsigned)o.start, o.sidecar, (unsigned)info.frames);
    else
        sound = play(&o, sidecar);
    stdo_close(sidecar);
    return !sound;
}
