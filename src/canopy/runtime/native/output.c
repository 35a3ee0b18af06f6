#include "output.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Text beyond this is written before its launch ends, and in the order in which it came. */
#define SHARE_BYTES (4u << 20)

typedef struct {
    char *data;
    size_t used, room;
} text;

typedef struct {
    uint32_t program[3];
    uint32_t bytes; /* of the text behind */
} record;

/* The records of one thread's share of a launch. */
typedef struct share {
    struct share *next;
    const void *launch;
    text records;
} share;

static _Thread_local text own;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static share *shares; /* of launches that have not ended */
static _Atomic int share_count;
static text pending; /* in order, to be written */
static _Atomic bool waits;  /* whether anything is pending */

/* fork: a child must not inherit the lock held by a thread that it does not have. */
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* False, and nothing added, where there is no memory: the print is lost, the kernel is not. */
static bool add(text *to, const void *data, size_t bytes) {
    if (to->used + bytes > to->room) {
        size_t room = (to->used + bytes) * 2;
        char *grown = realloc(to->data, room);
        if (!grown) return false;
        to->data = grown;
        to->room = room;
    }
    memcpy(to->data + to->used, data, bytes);
    to->used += bytes;
    return true;
}

static void drop(text *used) {
    free(used->data);
    *used = (text){NULL, 0, 0};
}

static void add_texts(text *to, const text *records) {
    record head;
    for (size_t at = 0; at < records->used; at += sizeof head + head.bytes) {
        memcpy(&head, records->data + at, sizeof head);
        add(to, records->data + at + sizeof head, head.bytes);
    }
}

static void write_pending(void) {
    if (!pending.used) return;
    fwrite(pending.data, 1, pending.used, stdout);
    fflush(stdout);
    drop(&pending);
    atomic_store(&waits, false);
}

void canopy_output_add(const uint32_t program[3], const char *data, size_t bytes) {
    record head = {{program[0], program[1], program[2]}, (uint32_t)bytes};
    size_t before = own.used;
    if (!add(&own, &head, sizeof head) || !add(&own, data, bytes)) own.used = before;
    if (own.used > SHARE_BYTES) canopy_output_flush();
}

void canopy_output_close(const void *launch) {
    if (!own.used) return;
    share *fresh = malloc(sizeof *fresh);
    if (!fresh) return;
    *fresh = (share){NULL, launch, own};
    own = (text){NULL, 0, 0};
    pthread_mutex_lock(&lock);
    fresh->next = shares;
    shares = fresh;
    atomic_fetch_add(&share_count, 1);
    pthread_mutex_unlock(&lock);
}

/* ---- the order of programs ---- */

typedef struct {
    record head;
    const char *text;
    size_t number; /* prints of one program stay in order */
} entry;

static int compare(const void *left, const void *right) {
    const entry *a = left, *b = right;
    for (int axis = 2; axis >= 0; axis--)
        if (a->head.program[axis] != b->head.program[axis])
            return a->head.program[axis] < b->head.program[axis] ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static size_t count_entries(const share *list) {
    size_t count = 0;
    record head;
    for (; list; list = list->next)
        for (size_t at = 0; at < list->records.used; at += sizeof head + head.bytes, count++)
            memcpy(&head, list->records.data + at, sizeof head);
    return count;
}

static void list_entries(const share *list, entry *entries) {
    size_t count = 0;
    for (; list; list = list->next)
        for (size_t at = 0; at < list->records.used; count++) {
            entry *made = &entries[count];
            memcpy(&made->head, list->records.data + at, sizeof made->head);
            made->text = list->records.data + at + sizeof made->head;
            made->number = count;
            at += sizeof made->head + made->head.bytes;
        }
}

static void add_in_order(const share *list) {
    size_t count = count_entries(list);
    entry *entries = malloc((count ? count : 1) * sizeof *entries);
    if (!entries) {
        for (; list; list = list->next) add_texts(&pending, &list->records);
        return;
    }
    list_entries(list, entries);
    qsort(entries, count, sizeof *entries, compare);
    for (size_t at = 0; at < count; at++) add(&pending, entries[at].text, entries[at].head.bytes);
    free(entries);
}

static share *taken(const void *launch) {
    share *found = NULL;
    for (share **at = &shares; *at;) {
        share *one = *at;
        if (one->launch != launch) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        one->next = found;
        found = one;
        atomic_fetch_sub(&share_count, 1);
    }
    return found;
}

void canopy_output_end(const void *launch) {
    if (!atomic_load(&share_count)) return;
    pthread_mutex_lock(&lock);
    share *list = taken(launch);
    add_in_order(list);
    atomic_store(&waits, pending.used > 0);
    if (pending.used > SHARE_BYTES) write_pending();
    pthread_mutex_unlock(&lock);
    for (share *next; list; list = next) {
        next = list->next;
        drop(&list->records);
        free(list);
    }
}

bool canopy_output_waits(void) { return own.used || atomic_load_explicit(&waits, memory_order_acquire); }

void canopy_output_flush(void) {
    if (!canopy_output_waits()) return;
    pthread_mutex_lock(&lock);
    add_texts(&pending, &own);
    drop(&own);
    write_pending();
    pthread_mutex_unlock(&lock);
}

static void write_now(const char *data, size_t bytes) {
    while (bytes) {
        ssize_t written = write(STDOUT_FILENO, data, bytes);
        if (written <= 0) return;
        data += written;
        bytes -= (size_t)written;
    }
}

static void write_records(text *records) {
    record head;
    for (size_t at = 0; at < records->used; at += sizeof head + head.bytes) {
        memcpy(&head, records->data + at, sizeof head);
        write_now(records->data + at + sizeof head, head.bytes);
    }
    records->used = 0;
}

/* Other threads that run hold texts of their own, which stay out of reach. */
void canopy_output_rescue(void) {
    if (pthread_mutex_trylock(&lock)) return;
    write_now(pending.data, pending.used);
    pending.used = 0;
    for (share *at = shares; at; at = at->next) write_records(&at->records);
    write_records(&own);
    pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void flush_at_exit(void) { canopy_output_flush(); }
