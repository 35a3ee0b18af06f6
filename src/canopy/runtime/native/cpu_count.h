/* How many CPUs this process may use. */
#ifndef CANOPY_CPU_COUNT_H
#define CANOPY_CPU_COUNT_H

/* CANOPY_NUM_THREADS where it is set to a number; else the scheduling affinity, bounded by the
 * cgroup's CPU quota, rounded up. At least 1, at most CANOPY_MAX_THREADS. */
int canopy_default_threads(void);

#define CANOPY_MAX_THREADS 1024

#endif
