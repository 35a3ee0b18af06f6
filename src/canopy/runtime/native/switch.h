/* Switching between stacks: the processor's part of fibers. */
#ifndef CANOPY_SWITCH_H
#define CANOPY_SWITCH_H

/* Saves the running context, its stack pointer in *from, and goes on with the context `to`. */
void canopy_switch(void **from, void *to);

/* A context that calls start(), which must not return, on the stack that ends at `top`. */
void *canopy_new_context(void *top, void (*start)(void));

#endif
