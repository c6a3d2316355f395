/* Phones have fast and slow cores. */
#ifndef STDO_TOOLS_CORES_H
#define STDO_TOOLS_CORES_H

/* How many fast cores this process may run on, at least 1: those whose highest clock is 80 % or more of the highest of
   all; every core where the system does not tell (Linux does in /sys/devices/system/cpu/cpuN/cpufreq). */
unsigned fast_cores(void);

#endif
