#include "switch.h"

#include <stdint.h>

/* Only what a function call must keep; rounding modes are the launch's, the same everywhere. */
#if defined(__x86_64__)

__asm__(
    ".text\n"
    ".p2align 4\n"
    ".hidden canopy_switch\n"
    ".globl canopy_switch\n"
    ".type canopy_switch, @function\n"
    "canopy_switch:\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  retq\n"
    ".size canopy_switch, .-canopy_switch\n");

void *canopy_new_context(void *top, void (*start)(void)) {
    uint64_t *frame = (uint64_t *)((uintptr_t)top & ~(uintptr_t)15) - 8;
    for (int at = 0; at < 8; at++) frame[at] = 0;
    frame[6] = (uint64_t)(uintptr_t)start; /* where ret goes; frame[7]: no caller */
    return frame;
}

#elif defined(__aarch64__)

__asm__(
    ".text\n"
    ".p2align 4\n"
    ".hidden canopy_switch\n"
    ".globl canopy_switch\n"
    ".type canopy_switch, %function\n"
    "canopy_switch:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp, #0]\n"
    "  stp x21, x22, [sp, #16]\n"
    "  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n"
    "  stp x29, x30, [sp, #80]\n"
    "  stp d8, d9, [sp, #96]\n"
    "  stp d10, d11, [sp, #112]\n"
    "  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n"
    "  mov x9, sp\n"
    "  str x9, [x0]\n"
    "  mov sp, x1\n"
    "  ldp x19, x20, [sp, #0]\n"
    "  ldp x21, x22, [sp, #16]\n"
    "  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n"
    "  ldp x29, x30, [sp, #80]\n"
    "  ldp d8, d9, [sp, #96]\n"
    "  ldp d10, d11, [sp, #112]\n"
    "  ldp d12, d13, [sp, #128]\n"
    "  ldp d14, d15, [sp, #144]\n"
    "  add sp, sp, #160\n"
    "  ret\n"
    ".size canopy_switch, .-canopy_switch\n");

void *canopy_new_context(void *top, void (*start)(void)) {
    uint64_t *frame = (uint64_t *)((uintptr_t)top & ~(uintptr_t)15) - 20;
    for (int at = 0; at < 20; at++) frame[at] = 0;
    frame[11] = (uint64_t)(uintptr_t)start; /* x30, where ret goes */
    return frame;
}

#else
#error "fibers know x86-64 and aarch64"
#endif
