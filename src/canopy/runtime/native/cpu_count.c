#include "cpu_count.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int affinity_count(void) {
    /* 8,192 CPUs: the kernel refuses a mask smaller than its own. */
    cpu_set_t *mask = CPU_ALLOC(8192);
    size_t size = CPU_ALLOC_SIZE(8192);
    int count = 0;
    if (mask && sched_getaffinity(0, size, mask) == 0) count = CPU_COUNT_S(size, mask);
    CPU_FREE(mask);
    if (count < 1) count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count;
}

static int quota_to_cpus(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return INT_MAX;
    long long cpus = (quota + period - 1) / period;
    return cpus > INT_MAX ? INT_MAX : (int)cpus;
}

static int read_v2_quota(const char *folder) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    FILE *file = fopen(path, "re");
    if (!file) return INT_MAX;
    long long quota = 0, period = 0;
    int fields = fscanf(file, "%lld %lld", &quota, &period); /* "max 100000" reads no field */
    fclose(file);
    return fields == 2 ? quota_to_cpus(quota, period) : INT_MAX;
}

static long long read_number(const char *path) {
    FILE *file = fopen(path, "re");
    if (!file) return -1;
    long long value = -1;
    if (fscanf(file, "%lld", &value) != 1) value = -1;
    fclose(file);
    return value;
}

/* The tightest quota from the process's own group up to the root. */
static int cgroup_count(void) {
    char folder[PATH_MAX] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file) {
        char line[PATH_MAX + 8];
        while (fgets(line, sizeof line, file)) {
            if (strncmp(line, "0::", 3) != 0) continue;
            line[strcspn(line, "\n")] = 0;
            snprintf(folder, sizeof folder, "%s", line + 3);
        }
        fclose(file);
    }
    int count = read_v2_quota("");
    while (folder[0] == '/' && folder[1]) {
        int here = read_v2_quota(folder);
        if (here < count) count = here;
        *strrchr(folder, '/') = 0;
    }
    int v1 = quota_to_cpus(read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
                           read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
    return v1 < count ? v1 : count;
}

static int clamp(long count) {
    if (count < 1) return 1;
    return count > CANOPY_MAX_THREADS ? CANOPY_MAX_THREADS : (int)count;
}

int canopy_default_threads(void) {
    const char *wish = getenv("CANOPY_NUM_THREADS");
    if (wish && *wish) {
        char *end = NULL;
        long count = strtol(wish, &end, 10);
        if (*end == 0 && count > 0) return clamp(count);
    }
    int affinity = affinity_count(), quota = cgroup_count();
    return clamp(affinity < quota ? affinity : quota);
}
