/* Upscales a y4m stream: the player without Python. `stdo pipe` gives the same bytes. */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime: Android has C11's timespec_get only since release 10 */
#include "cores.h"
#include "md5.h"
#include <stdo/stdo.h>
#include "workers.h"
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
    "  --md5             write no video but the MD5 of all its planes, as md5sum prints it\n"
    "  --null            write no video but a line with frames, seconds and frames per second\n"
    "  --help, --version\n"
    "\n"
    "The environment's STDO_CPU says which implementations may run, with commas: c, avx2, avx512vnni,\n"
    "neon, neon_dot, neon_i8mm. All give the same bytes.\n"
    "Exit code: 0 if every frame of the sidecar was upscaled, 1 if not, 2 for a wrong option.\n";

enum { LARGEST_SIDECAR = 1 << 30 };

typedef enum output { OUTPUT_VIDEO, OUTPUT_MD5, OUTPUT_NULL } output;

typedef struct options {
    const char *sidecar;
    unsigned threads;
    uint32_t start;
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
    return fast < WORKERS_MOST ? fast : WORKERS_MOST;
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
            if (strcmp(value, "auto") != 0 && !parse_number(value, 1, WORKERS_MOST, &threads))
                return complain("--threads '%s': a number of 1..%d, or auto", value, WORKERS_MOST), 2;
            o->threads = threads;
            i++;
        } else if (strcmp(word, "--start") == 0) {
            if (!parse_number(value, 0, (1 << 24) - 1, &o->start))
                return complain("--start '%s': a frame of 0..%d", value, (1 << 24) - 1), 2;
            i++;
        } else {
            return complain("%s: no such option; see --help", word), 2;
        }
    }
    if (o->sidecar == NULL) return complain("which sidecar? see --help"), 2;
    return -1;
}

/* ---- The sidecar ---- */

static stdo_sidecar *open_sidecar(const char *path)
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
        const stdo_status status = stdo_open_memory(data, size, tiers, &sidecar);
        if (status == STDO_ERROR_TIER) complain("STDO_CPU=%s: %s", tiers, stdo_status_string(status));
        else if (status != STDO_OK) complain("%s: %s", path, stdo_status_string(status));
    }
    free(data);
    return sidecar;
}

/* ---- Frames ---- */

/* All that upscaling needs, in one allocation at `memory`. There are two of lr and labels, for this frame and the one
   before. */
typedef struct player {
    const stdo_sidecar *sidecar;
    stdo_info info;
    stdo_map *map;
    workers *pool;
    uint8_t *memory, *lr[2], *labels[2], *hr, *scratch;
    size_t lr_size, hr_size, scratch_size;
    uint32_t segment, whole_crc;    /* of the frames since the segment's first */
    int whole;                      /* 1: all of them were seen */
    stdo_segment_info at;
} player;

/* What one frame hands to the threads. */
typedef struct task {
    const player *player;
    stdo_frame frame;
} task;

static void upscale_rows(void *context, unsigned worker, uint32_t begin, uint32_t end)
{
    const task *t = context;
    const player *p = t->player;
    const stdo_status status =
        stdo_upscale_rows(p->sidecar, &t->frame, begin, end, p->scratch + worker * p->scratch_size, NULL);
    if (status != STDO_OK) abort(); /* stdo_map_read gives no other labels, workers_run no other rows */
}

static int player_new(player *p, const stdo_sidecar *sidecar, unsigned threads)
{
    p->sidecar = sidecar;
    p->info.size = sizeof p->info;
    p->at.size = sizeof p->at;
    if (stdo_get_info(sidecar, &p->info) != STDO_OK) abort();
    p->lr_size = y4m_frame_size(p->info.lr_width, p->info.lr_height);
    p->hr_size = y4m_frame_size(p->info.hr_width, p->info.hr_height);
    p->scratch_size = stdo_scratch_size(sidecar);
    const size_t labels = (size_t)p->info.columns * p->info.rows;
    const uint64_t bytes = 2 * ((uint64_t)p->lr_size + labels) + p->hr_size + (uint64_t)threads * p->scratch_size;
    p->memory = bytes <= SIZE_MAX ? malloc((size_t)bytes) : NULL; /* may be greater where pointers have 32 bits */
    p->pool = workers_new(threads);
    if (p->memory == NULL || p->pool == NULL || stdo_map_new(sidecar, &p->map) != STDO_OK)
        return complain("not enough memory for frames of %ux%u and %u threads", (unsigned)p->info.hr_width,
                        (unsigned)p->info.hr_height, threads);
    uint8_t *at = p->memory;
    for (int i = 0; i < 2; i++, at += p->lr_size) p->lr[i] = at;
    for (int i = 0; i < 2; i++, at += labels) p->labels[i] = at;
    p->hr = at;
    p->scratch = at + p->hr_size;
    return 1;
}

static void player_free(player *p)
{
    workers_free(p->pool);
    stdo_map_free(p->map);
    free(p->memory);
}

/* Moves on to the segment of a frame, which `p->at` then describes. */
static void find_segment(player *p, uint32_t number)
{
    while (stdo_get_segment(p->sidecar, p->segment, &p->at) == STDO_OK && p->at.first_frame + p->at.frames <= number)
        p->segment++;
}

/* Whether a frame is one of those that the sidecar was made for, as far as can be told by now. */
static int frame_fits(player *p, uint32_t number, const uint8_t *lr)
{
    const int first = number == p->at.first_frame, last = number + 1 == p->at.first_frame + p->at.frames;
    if (first) p->whole = 1;
    p->whole_crc = stdo_crc32(first ? 0 : p->whole_crc, lr, p->lr_size);
    return !(first && p->whole_crc != p->at.lr_first_crc) && !(last && p->whole && p->whole_crc != p->at.lr_crc);
}

/* `before` is the segment of the frame before, NULL where there is none. */
static void upscale_frame(player *p, uint32_t number, int now, const uint32_t *before)
{
    const uint32_t width = p->info.lr_width, height = p->info.lr_height;
    const stdo_image lr = stdo_image_from_buffer(p->lr[now], width, height, STDO_COLOUR_YUV420);
    const stdo_image old = stdo_image_from_buffer(p->lr[!now], width, height, STDO_COLOUR_YUV420);
    const stdo_image hr = stdo_image_from_buffer(p->hr, p->info.hr_width, p->info.hr_height, STDO_COLOUR_YUV420);
    const stdo_const_image source = stdo_image_for_reading(&lr);
    if (stdo_map_read(p->map, number, &source, p->labels[now]) != STDO_OK) abort(); /* number is below info.frames */
    const stdo_previous previous = {.size = sizeof previous, .segment = before != NULL ? *before : 0,
                                    .labels = p->labels[!now], .lr = stdo_image_for_reading(&old),
                                    .hr = stdo_image_for_reading(&hr)};
    task t = {p, {.size = sizeof t.frame, .segment = p->segment, .labels = p->labels[now], .lr = source, .hr = hr,
                  .previous = before != NULL ? &previous : NULL}};
    workers_run(p->pool, upscale_rows, &t, p->info.rows);
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

static int run(const options *o, player *p)
{
    y4m_header header;
    y4m_status status = y4m_read_header(stdin, &header);
    if (status != Y4M_OK) return complain("stdin: %s", y4m_status_string(status));
    if (!check_stream(&header, &p->info, o->sidecar)) return 0;
    describe_hr(&header, &p->info);
    if (o->output == OUTPUT_VIDEO && !y4m_write_header(stdout, &header)) return write_failed();

    md5 sum;
    md5_start(&sum);
    const double begun = seconds();
    uint32_t number = o->start;
    for (int now = 0;; number++, now = !now) {
        status = y4m_read_frame(stdin, p->lr[now], p->lr_size);
        if (status == Y4M_END) break;
        if (status != Y4M_OK) return complain("stdin, frame %u: %s", (unsigned)number, y4m_status_string(status));
        if (number == p->info.frames)
            return complain("stdin: more frames than the %u of %s; give the sidecar of this video",
                            (unsigned)p->info.frames, o->sidecar);
        const uint32_t before = p->segment;
        find_segment(p, number);
        if (!frame_fits(p, number, p->lr[now]))
            return complain("stdin: its pictures up to frame %u are not those that %s was made for; give the sidecar "
                            "of this video%s", (unsigned)number, o->sidecar,
                            o->start > 0 ? ", and the right --start" : "");
        upscale_frame(p, number, now, number > o->start ? &before : NULL);
        if (o->output == OUTPUT_MD5) md5_add(&sum, p->hr, p->hr_size);
        if (o->output == OUTPUT_VIDEO && !y4m_write_frame(stdout, p->hr, p->hr_size)) return write_failed();
    }
    if (number < p->info.frames)
        return complain("stdin: ends after frame %u of %u; is what writes it still alive?", (unsigned)number,
                        (unsigned)p->info.frames);
    const double took = seconds() - begun;
    const unsigned frames = (unsigned)(number - o->start);
    char text[33];
    md5_end(&sum, text);
    if (o->output == OUTPUT_MD5) printf("%s\n", text);
    if (o->output == OUTPUT_NULL)
        printf("%u frames of %ux%u in %.3f s: %.2f fps (%s)\n", frames, (unsigned)p->info.hr_width,
               (unsigned)p->info.hr_height, took, frames / took, stdo_tier(p->sidecar));
    return fflush(stdout) == 0 || write_failed();
}

int main(int count, char **words)
{
    options o = {.threads = automatic_threads()};
    keep_every_byte();
    const int code = parse_options(count, words, &o);
    if (code >= 0) return code;

    stdo_sidecar *sidecar = open_sidecar(o.sidecar);
    if (sidecar == NULL) return 1;
    player p = {.sidecar = NULL};
    stdo_info info = {.size = sizeof info};
    int sound = 0;
    if (stdo_get_info(sidecar, &info) != STDO_OK) abort();
    if (info.colour != STDO_COLOUR_YUV420)
        complain("%s: its nets are for RGB frames, and y4m has 4:2:0; use one that stdo encode made", o.sidecar);
    else if (o.start >= info.frames)
        complain("--start %u: %s has %u frames", (unsigned)o.start, o.sidecar, (unsigned)info.frames);
    else
        sound = player_new(&p, sidecar, o.threads) && run(&o, &p);
    player_free(&p);
    stdo_close(sidecar);
    return !sound;
}
