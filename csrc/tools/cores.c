/* Counts fast cores by their clocks; stdo_min/format/cores.py has the same rule, and says where the 80 %
   come from. */
#define _GNU_SOURCE /* for sched_getaffinity, which musl and bionic have too */
#include "cores.h"

#include <stdint.h>
#include <stdio.h>

#ifdef _WIN32
#include <windows.h>

static unsigned online_cores(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors < 1 ? 1 : (unsigned)info.dwNumberOfProcessors;
}
#else
#include <unistd.h>

static unsigned online_cores(void)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : (unsigned)cores;
}
#endif

#ifdef __linux__
#include <sched.h>

static unsigned long highest_clock(size_t core)
{
    char path[80];
    unsigned long clock = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/cpufreq/cpuinfo_max_freq", core);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%lu", &clock) != 1) clock = 0;
    fclose(file);
    return clock;
}

unsigned fast_cores(void)
{
    cpu_set_t mine;
    unsigned all = 0, fast = 0, untold = 0;
    unsigned long highest = 0;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0) return online_cores(); /* more cores than CPU_SETSIZE */
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &mine)) continue;
        const unsigned long clock = highest_clock(core);
        all++;
        untold += clock == 0;
        if (clock > highest) highest = clock;
    }
    if (untold > 0) return all;
    for (size_t core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &mine) && 5 * (uint64_t)highest_clock(core) >= 4 * (uint64_t)highest) fast++;
    return fast;
}
#else
unsigned fast_cores(void) { return online_cores(); }
#endif
