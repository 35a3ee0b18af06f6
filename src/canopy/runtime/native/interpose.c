#include "interpose.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "allocator.h"

#if defined(__x86_64__)
#define IS_SLOT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#elif defined(__aarch64__)
#define IS_SLOT(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#else
#define IS_SLOT(type) false
#endif

/* ---- what the slots point to ---- */

static int keep_posix_memalign(void **result, size_t alignment, size_t bytes) {
    if (bytes < CANOPY_LARGE_BYTES || alignment > 64) return posix_memalign(result, alignment, bytes);
    void *block = canopy_alloc(bytes);
    if (!block) return ENOMEM;
    *result = block;
    return 0;
}

static void keep_free(void *block) {
    if (canopy_owns_large(block)) canopy_free(block);
    else free(block);
}

/* ---- finding the slots ---- */

typedef struct {
    const char *library;
    const ElfW(Sym) * symbols;
    const char *strings;
    uintptr_t base, read_only_begin, read_only_end;
    const ElfW(Rela) * tables[2];
    size_t counts[2];
    bool found;
} image;

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* glibc has made these absolute; other loaders leave them relative. */
static const void *absolute(const image *in, uintptr_t value) {
    return (const void *)(value < in->base ? in->base + value : value);
}

static void read_dynamic(image *in, const ElfW(Dyn) * entry) {
    for (; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
            case DT_SYMTAB: in->symbols = absolute(in, entry->d_un.d_ptr); break;
            case DT_STRTAB: in->strings = absolute(in, entry->d_un.d_ptr); break;
            case DT_JMPREL: in->tables[0] = absolute(in, entry->d_un.d_ptr); break;
            case DT_PLTRELSZ: in->counts[0] = entry->d_un.d_val / sizeof(ElfW(Rela)); break;
            case DT_RELA: in->tables[1] = absolute(in, entry->d_un.d_ptr); break;
            case DT_RELASZ: in->counts[1] = entry->d_un.d_val / sizeof(ElfW(Rela)); break;
        }
    }
}

static int read_image(struct dl_phdr_info *info, size_t size, void *result) {
    (void)size;
    image *in = result;
    if (strcmp(last_part(info->dlpi_name), in->library) != 0) return 0;
    in->base = info->dlpi_addr;
    for (int at = 0; at < info->dlpi_phnum; at++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[at];
        uintptr_t begin = in->base + part->p_vaddr;
        if (part->p_type == PT_DYNAMIC) read_dynamic(in, (const ElfW(Dyn) *)begin);
        if (part->p_type == PT_GNU_RELRO) {
            in->read_only_begin = begin;
            in->read_only_end = begin + part->p_memsz;
        }
    }
    in->found = in->symbols && in->strings && (in->tables[0] || in->tables[1]);
    return 1;
}

/* ---- changing them ---- */

/* The linker made the page read-only after it had filled the slots in: it is so again afterwards. */
static bool write_slot(const image *in, void **slot, void *function) {
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)slot & ~(page_bytes - 1));
    bool guarded = (uintptr_t)slot >= in->read_only_begin && (uintptr_t)slot < in->read_only_end;
    if (guarded && mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) return false;
    __atomic_store_n(slot, function, __ATOMIC_RELEASE);
    if (guarded) mprotect(page, page_bytes, PROT_READ);
    return true;
}

/* Returns how many slots of `name` now hold `function`. */
static int point_slots(const image *in, const char *name, void *function) {
    int changed = 0;
    for (int table = 0; table < 2; table++) {
        for (size_t at = 0; in->tables[table] && at < in->counts[table]; at++) {
            const ElfW(Rela) *entry = &in->tables[table][at];
            const ElfW(Sym) *symbol = &in->symbols[ELF64_R_SYM(entry->r_info)];
            if (!IS_SLOT(ELF64_R_TYPE(entry->r_info))) continue;
            if (strcmp(in->strings + symbol->st_name, name) != 0) continue;
            changed += write_slot(in, (void **)(in->base + entry->r_offset), function);
        }
    }
    return changed;
}

static image kept; /* guarded by the GIL of the only callers */

bool canopy_keep_memory(const char *library) {
    image in = {.library = library};
    dl_iterate_phdr(read_image, &in);
    /* free goes first: it understands the blocks of both sides. */
    if (!in.found || point_slots(&in, "free", (void *)keep_free) == 0) return false;
    if (point_slots(&in, "posix_memalign", (void *)keep_posix_memalign) == 0) return false;
    kept = in;
    return true;
}

void canopy_stop_keeping_memory(void) {
    if (kept.found) point_slots(&kept, "posix_memalign", (void *)posix_memalign);
}
