// OpenMP's functions for a program of one thread: Canopy runs host loops serially. Written for Canopy.
#pragma once
#include <time.h>

#ifdef __cplusplus
#define CANOPY_OMP static inline
extern "C" {
#else
#define CANOPY_OMP static __inline__
#endif
typedef struct { int depth; } omp_lock_t;
typedef struct { int depth; } omp_nest_lock_t;
typedef enum { omp_sched_static = 1, omp_sched_dynamic = 2, omp_sched_guided = 3, omp_sched_auto = 4 } omp_sched_t;

CANOPY_OMP int omp_get_thread_num(void) { return 0; }
CANOPY_OMP int omp_get_num_threads(void) { return 1; }
CANOPY_OMP int omp_get_max_threads(void) { return 1; }
CANOPY_OMP int omp_get_num_procs(void) { return 1; }
CANOPY_OMP int omp_get_thread_limit(void) { return 1; }
CANOPY_OMP int omp_in_parallel(void) { return 0; }
CANOPY_OMP int omp_get_level(void) { return 0; }
CANOPY_OMP int omp_get_num_devices(void) { return 0; }
CANOPY_OMP int omp_get_dynamic(void) { return 0; }
CANOPY_OMP int omp_get_nested(void) { return 0; }
CANOPY_OMP void omp_set_num_threads(int count) { (void)count; }
CANOPY_OMP void omp_set_dynamic(int on) { (void)on; }
CANOPY_OMP void omp_set_nested(int on) { (void)on; }
CANOPY_OMP void omp_set_max_active_levels(int most) { (void)most; }
CANOPY_OMP void omp_set_schedule(omp_sched_t kind, int chunk) { (void)kind; (void)chunk; }
CANOPY_OMP void omp_init_lock(omp_lock_t* lock) { lock->depth = 0; }
CANOPY_OMP void omp_destroy_lock(omp_lock_t* lock) { (void)lock; }
CANOPY_OMP void omp_set_lock(omp_lock_t* lock) { lock->depth = 1; }
CANOPY_OMP void omp_unset_lock(omp_lock_t* lock) { lock->depth = 0; }
CANOPY_OMP int omp_test_lock(omp_lock_t* lock) { return lock->depth ? 0 : (lock->depth = 1); }
CANOPY_OMP void omp_init_nest_lock(omp_nest_lock_t* lock) { lock->depth = 0; }
CANOPY_OMP void omp_destroy_nest_lock(omp_nest_lock_t* lock) { (void)lock; }
CANOPY_OMP void omp_set_nest_lock(omp_nest_lock_t* lock) { lock->depth++; }
CANOPY_OMP void omp_unset_nest_lock(omp_nest_lock_t* lock) { lock->depth--; }
CANOPY_OMP int omp_test_nest_lock(omp_nest_lock_t* lock) { return ++lock->depth; }
CANOPY_OMP double omp_get_wtime(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
CANOPY_OMP double omp_get_wtick(void) { return 1e-9; }
#ifdef __cplusplus
}
#endif
#undef CANOPY_OMP
