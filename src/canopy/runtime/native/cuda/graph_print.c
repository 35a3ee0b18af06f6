/* A graph as text for Graphviz. */
#include <stdio.h>
#include <stdlib.h>

#include "graph.h"

static const char *name_of(enum cudaGraphNodeType type) {
    static const char *const names[] = {"kernel", "memcpy", "memset", "host", "graph", "empty", "wait event",
                                        "record event", "", "", "allocate memory", "free memory"};
    return (unsigned int)type < sizeof names / sizeof *names ? names[type] : "";
}

static void print_label(FILE *file, cudaGraphNode_t node) {
    struct cudaKernelNodeParams kernel;
    fprintf(file, "  n%p [label=\"%s", (void *)node, name_of(node->type));
    if (node->type == cudaGraphNodeTypeKernel && cudaGraphKernelNodeGetParams(node, &kernel) == cudaSuccess) {
        const char *name = NULL;
        if (cudaFuncGetName(&name, kernel.func) == cudaSuccess && name) fprintf(file, " %s", name);
        fprintf(file, "\\n<<<(%u, %u, %u), (%u, %u, %u)>>>", kernel.gridDim.x, kernel.gridDim.y, kernel.gridDim.z,
                kernel.blockDim.x, kernel.blockDim.y, kernel.blockDim.z);
    }
    fprintf(file, "\"];\n");
}

static void print_nodes(FILE *file, cudaGraph_t graph) {
    for (cudaGraphNode_t node = graph->first; node; node = node->next) {
        print_label(file, node);
        for (size_t at = 0; at < node->needs.count; at++)
            fprintf(file, "  n%p -> n%p;\n", (void *)node->needs.at[at], (void *)node);
        if (!node->child) continue;
        fprintf(file, "  subgraph cluster_%p {\n", (void *)node->child);
        print_nodes(file, node->child);
        fprintf(file, "  }\n");
    }
}

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char *path, unsigned int flags) {
    (void)flags; /* how much of each node is told */
    if (!graph || !path) return canopy_cuda_result(cudaErrorInvalidValue);
    FILE *file = fopen(path, "w");
    if (!file) return canopy_cuda_result(cudaErrorOperatingSystem);
    fprintf(file, "digraph graph_%p {\n", (void *)graph);
    print_nodes(file, graph);
    fprintf(file, "}\n");
    return canopy_cuda_result(fclose(file) ? cudaErrorOperatingSystem : cudaSuccess);
}
