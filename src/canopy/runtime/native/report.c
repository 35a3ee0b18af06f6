#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "half.h"

static _Thread_local char message_of_thread[CANOPY_MESSAGE_BYTES];

int32_t canopy_assert_fail(const char *message, const char *file, int32_t line, uint32_t pid_x,
                           uint32_t pid_y, uint32_t pid_z) {
    snprintf(message_of_thread, sizeof message_of_thread,
             "%s:%" PRId32 ": device-side assertion failed in program (%" PRIu32 ", %" PRIu32 ", %" PRIu32
             "): %s",
             file ? file : "<unknown>", line, pid_x, pid_y, pid_z, message ? message : "");
    return CANOPY_ASSERTION_FAILED;
}

void canopy_report(const char *message) {
    if (message == message_of_thread) return;
    snprintf(message_of_thread, sizeof message_of_thread, "%s", message);
}

const char *canopy_message(void) { return message_of_thread; }
void canopy_clear_message(void) { message_of_thread[0] = 0; }

/* ---- printing ---- */

static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;

/* fork: a child must not inherit the lock held by a thread that it does not have. */
static void before_fork(void) { pthread_mutex_lock(&output_lock); }
static void after_fork(void) { pthread_mutex_unlock(&output_lock); }
__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork, after_fork);
}

typedef struct {
    char text[16384];
    size_t used;
} buffer;

static void write_out(buffer *out) {
    size_t done = 0;
    while (done < out->used) {
        ssize_t written = write(STDOUT_FILENO, out->text + done, out->used - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) break; /* a closed standard output: the print is lost, the kernel is not */
        done += (size_t)written;
    }
    out->used = 0;
}

__attribute__((format(printf, 2, 3))) static void add(buffer *out, const char *format, ...) {
    size_t room = sizeof out->text - out->used;
    va_list values;
    va_start(values, format);
    int length = vsnprintf(out->text + out->used, room, format, values);
    va_end(values);
    if (length <= 0) return;
    out->used += (size_t)length < room ? (size_t)length : room - 1;
}

static const int element_bytes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8};

static uint64_t raw_bits(const char *at, int bytes) {
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)bytes); /* little-endian, as both supported machines are */
    return bits;
}

static double float_value(const char *at, int32_t kind) {
    uint64_t bits = raw_bits(at, element_bytes[kind]);
    float single;
    double value;
    switch (kind) {
        case CANOPY_F16: return canopy_half_to_float((uint16_t)bits);
        case CANOPY_BF16: return canopy_bfloat16_to_float((uint16_t)bits);
        case CANOPY_F32: memcpy(&single, at, sizeof single); return single;
        default: memcpy(&value, at, sizeof value); return value;
    }
}

static void add_value(buffer *out, const char *at, int32_t kind, bool hex) {
    int bytes = element_bytes[kind];
    uint64_t bits = raw_bits(at, bytes);
    if (hex || kind == CANOPY_POINTER) {
        add(out, "0x%0*" PRIx64, bytes * 2, bits);
    } else if (kind >= CANOPY_F16 && kind <= CANOPY_F64) {
        add(out, "%f", float_value(at, kind));
    } else if (kind >= CANOPY_I8 && kind <= CANOPY_I64) {
        int unused = 64 - bytes * 8;
        add(out, "%" PRId64, (int64_t)(bits << unused) >> unused);
    } else {
        add(out, "%" PRIu64, kind == CANOPY_BOOL ? (uint64_t)(bits != 0) : bits);
    }
}

static int digits(int64_t value) {
    int count = 1;
    while (value >= 10) value /= 10, count++;
    return count;
}

static void add_pid(buffer *out, const uint32_t pid[3]) {
    add(out, "pid (%" PRIu32 ", %" PRIu32 ", %" PRIu32 ")", pid[0], pid[1], pid[2]);
}

/* Every index is as wide as the largest of its axis, so that columns line up. */
static void add_index(buffer *out, uint64_t index, const int64_t *shape, int32_t rank) {
    uint64_t stride = 1;
    for (int32_t axis = 0; axis < rank; axis++) stride *= (uint64_t)shape[axis];
    add(out, " idx (");
    for (int32_t axis = 0; axis < rank; axis++) {
        stride /= (uint64_t)shape[axis];
        uint64_t here = index / stride % (uint64_t)shape[axis];
        add(out, "%s%*" PRIu64, axis ? ", " : "", digits(shape[axis] - 1), here);
    }
    add(out, ")");
}

void canopy_print_values(const uint32_t pid[3], const char *prefix, int32_t kind,
                         const void *data, uint64_t count, const int64_t *shape, int32_t rank,
                         int32_t hex) {
    if (kind < CANOPY_BOOL || kind > CANOPY_POINTER) return;
    buffer out = {.used = 0};
    pthread_mutex_lock(&output_lock);
    for (uint64_t index = 0; index < count; index++) {
        if (out.used > sizeof out.text / 2) write_out(&out);
        add_pid(&out, pid);
        add_index(&out, index, shape, rank);
        add(&out, "%.4000s", prefix);
        add_value(&out, (const char *)data + index * (uint64_t)element_bytes[kind], kind, hex != 0);
        add(&out, "\n");
    }
    write_out(&out);
    pthread_mutex_unlock(&output_lock);
}

void canopy_print_text(const uint32_t pid[3], const char *text) {
    buffer out = {.used = 0};
    pthread_mutex_lock(&output_lock);
    add_pid(&out, pid);
    add(&out, "%.8000s\n", text);
    write_out(&out);
    pthread_mutex_unlock(&output_lock);
}
