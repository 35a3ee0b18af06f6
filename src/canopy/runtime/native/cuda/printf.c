/* printf of CUDA kernels: the format is read as C reads it, the arguments as they lie in memory. */
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../call.h"
#include "../output.h"

typedef struct {
    char *data;
    size_t used, room;
} text;

/* What clang put behind the format: promoted values, each aligned to its size. */
typedef struct {
    const char *data;
    size_t at;
    int count;
} values;

static const void *next(values *from, size_t bytes) {
    from->at = (from->at + bytes - 1) / bytes * bytes;
    const void *found = from->data + from->at;
    from->at += bytes;
    from->count++;
    return found;
}

static bool reserve(text *to, size_t bytes) {
    if (to->used + bytes <= to->room) return true;
    size_t room = (to->used + bytes) * 2;
    char *grown = realloc(to->data, room);
    if (!grown) return false;
    to->data = grown;
    to->room = room;
    return true;
}

static void add(text *to, const char *data, size_t bytes) {
    if (!reserve(to, bytes)) return;
    memcpy(to->data + to->used, data, bytes);
    to->used += bytes;
}

static void add_formatted(text *to, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length > 0 && reserve(to, (size_t)length + 1)) {
        vsnprintf(to->data + to->used, (size_t)length + 1, format, again);
        to->used += (size_t)length;
    }
    va_end(again);
    va_end(arguments);
}

/* One conversion: flags, width and precision with every * replaced, the size of integers, the kind. */
typedef struct {
    char start[64];
    size_t used;
    int longs; /* l counts 1, ll 2; h -1, hh -2 */
    char kind;
} conversion;

static void put(conversion *to, const char *data, size_t bytes) {
    if (to->used + bytes + 4 < sizeof to->start) { /* room for ll, the kind and a zero */
        memcpy(to->start + to->used, data, bytes);
        to->used += bytes;
    }
}

static const char *read_number(conversion *to, const char *at, values *from) {
    if (*at == '*') {
        char digits[16];
        int length = snprintf(digits, sizeof digits, "%d", *(const int *)next(from, sizeof(int)));
        put(to, digits, (size_t)length);
        return at + 1;
    }
    const char *start = at;
    while (isdigit((unsigned char)*at)) at++;
    put(to, start, (size_t)(at - start));
    return at;
}

/* Reads behind the %; returns where the kind stands. */
static const char *read_conversion(conversion *to, const char *at, values *from) {
    *to = (conversion){.start = "%", .used = 1};
    while (*at && strchr("-+ #0", *at)) put(to, at++, 1);
    at = read_number(to, at, from);
    if (*at == '.') {
        put(to, at++, 1);
        at = read_number(to, at, from);
    }
    for (; *at && strchr("lhzjtqL", *at); at++) {
        if (*at == 'l') to->longs++;
        else if (*at == 'h') to->longs--;
        else if (*at != 'L') to->longs = 2;
    }
    to->kind = *at;
    return at;
}

static const char *finished(conversion *one, const char *size) {
    size_t length = strlen(size);
    memcpy(one->start + one->used, size, length);
    one->start[one->used + length] = one->kind;
    one->start[one->used + length + 1] = 0;
    return one->start;
}

static void add_integer(text *to, conversion *one, values *from) {
    if (one->longs > 0) {
        add_formatted(to, finished(one, "ll"), *(const long long *)next(from, sizeof(long long)));
        return;
    }
    const char *size = one->longs == -1 ? "h" : one->longs == -2 ? "hh" : "";
    add_formatted(to, finished(one, size), *(const int *)next(from, sizeof(int)));
}

/* False where it is no conversion of C's. */
static bool add_conversion(text *to, conversion *one, values *from) {
    switch (one->kind) {
        case 'd': case 'i': case 'o': case 'u': case 'x': case 'X':
            add_integer(to, one, from);
            return true;
        case 'c':
            add_formatted(to, finished(one, ""), *(const int *)next(from, sizeof(int)));
            return true;
        case 'e': case 'E': case 'f': case 'F': case 'g': case 'G': case 'a': case 'A':
            add_formatted(to, finished(one, ""), *(const double *)next(from, sizeof(double)));
            return true;
        case 'p':
            add_formatted(to, finished(one, ""), *(void *const *)next(from, sizeof(void *)));
            return true;
        case 's': {
            const char *string = *(const char *const *)next(from, sizeof(char *));
            add_formatted(to, finished(one, ""), string ? string : "(null)");
            return true;
        }
        case '%':
            add(to, "%", 1);
            return true;
        default: return false;
    }
}

static void add_text(text *to, const char *format, values *from) {
    for (const char *percent; (percent = strchr(format, '%')); format = percent) {
        add(to, format, (size_t)(percent - format));
        conversion one;
        const char *kind = read_conversion(&one, percent + 1, from);
        if (add_conversion(to, &one, from)) {
            percent = kind + 1;
        } else { /* shown as it stands */
            add(to, percent, (size_t)(kind - percent));
            percent = kind;
        }
    }
    add(to, format, strlen(format));
}

/* (const char *format, const void *values) -> the number of values; -1: no format. */
int32_t canopy_cuda_printf(const canopy_call *call) {
    text made = {NULL, 0, 0};
    int32_t *results = call->results;
    for (uint64_t lane = 0; lane < call->lanes; lane++) {
        if (!call->mask[lane]) continue;
        const char *format = CANOPY_LANE(call, const char *, 0, lane);
        values from = {CANOPY_LANE(call, const char *, 1, lane), 0, 0};
        results[lane] = -1;
        if (!format) continue;
        made.used = 0;
        add_text(&made, format, &from);
        canopy_output_add(call->program, made.data, made.used);
        results[lane] = from.count;
    }
    free(made.data);
    return 0;
}
