#include "fault.h"
#include "../output.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static const char *_Atomic running; /* the kernel that began last; NULL: none runs */
static _Atomic int running_count;
static pthread_once_t watched = PTHREAD_ONCE_INIT;

static void say(const char *text) {
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* the program is about to end */
}

static void say_address(uintptr_t address) {
    char text[19] = "0x0000000000000000";
    for (int at = 17; address; at--, address >>= 4) text[at] = "0123456789abcdef"[address & 15];
    say(text);
}

/* The program then ends as it would have: the access is tried again without this handler. */
static void on_fault(int number, siginfo_t *about, void *context) {
    (void)context;
    const char *kernel = atomic_load(&running);
    signal(number, SIG_DFL);
    canopy_output_rescue();
    if (!kernel) return;
    say("canopy: an illegal memory access was encountered while the kernel ");
    say(kernel);
    say(" ran: address ");
    say_address((uintptr_t)about->si_addr);
    say("\n");
}

/* A handler of the program's own stays. */
static void watch_one(int number) {
    struct sigaction now, wanted = {.sa_flags = SA_SIGINFO};
    if (sigaction(number, NULL, &now) || now.sa_handler != SIG_DFL) return;
    wanted.sa_sigaction = on_fault;
    sigaction(number, &wanted, NULL);
}

static void watch(void) {
    watch_one(SIGSEGV);
    watch_one(SIGBUS);
}

void canopy_cuda_kernel_begins(const char *name) {
    pthread_once(&watched, watch);
    atomic_fetch_add(&running_count, 1);
    atomic_store(&running, name);
}

void canopy_cuda_kernel_ends(void) {
    if (atomic_fetch_sub(&running_count, 1) == 1) atomic_store(&running, NULL);
}
