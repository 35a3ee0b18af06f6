/* Graphs: nodes in the order in which they were added, each with what it depends on. */
#ifndef CANOPY_CUDA_GRAPH_H
#define CANOPY_CUDA_GRAPH_H

#include "stream.h"

struct CUgraphNode_st {
    struct CUgraphNode_st *next; /* in the graph */
    cudaGraph_t graph;
    enum cudaGraphNodeType type;
    canopy_cuda_task *task;      /* NULL: empty, or a child graph */
    cudaGraph_t child;
    canopy_cuda_nodes needs;
    void **kernel_params;        /* what cudaGraphKernelNodeGetParams handed out */
    cudaGraphNode_t origin;      /* of a clone: the node that it was made from */
    unsigned int mark;           /* of a walk: 0 unseen, 1 under way, 2 done */
};

struct CUgraph_st {
    cudaGraphNode_t first, last;
    size_t count;
};

cudaGraph_t canopy_cuda_new_graph(void);
void canopy_cuda_free_graph(cudaGraph_t graph);
/* Owns the task, also where it returns NULL: memory is out. */
cudaGraphNode_t canopy_cuda_add_node(cudaGraph_t graph, enum cudaGraphNodeType type, canopy_cuda_task *task,
                                     const cudaGraphNode_t *needs, size_t count);
/* Adds nodes that are not there yet. */
bool canopy_cuda_add_to_nodes(canopy_cuda_nodes *nodes, const cudaGraphNode_t *more, size_t count);
/* All nodes, each behind what it needs, into `ordered` (room for graph->count); false: a cycle. */
bool canopy_cuda_order(cudaGraph_t graph, cudaGraphNode_t *ordered);
/* A copy with nodes and tasks of its own; NULL where memory is out. */
cudaGraph_t canopy_cuda_clone_graph(cudaGraph_t graph);
/* Whether all these nodes are of a graph. */
bool canopy_cuda_belong(cudaGraph_t graph, const cudaGraphNode_t *nodes, size_t count);

/* What a node of a type does, from its parameters. */
cudaError_t canopy_cuda_prepare_host(const struct cudaHostNodeParams *wanted, canopy_cuda_task **task);
void canopy_cuda_describe_host(const canopy_cuda_task *task, struct cudaHostNodeParams *found);
void canopy_cuda_describe_copy(const canopy_cuda_task *task, struct cudaMemcpy3DParms *found);
void canopy_cuda_describe_fill(const canopy_cuda_task *task, struct cudaMemsetParams *found);
cudaError_t canopy_cuda_prepare_event(cudaEvent_t event, bool waits, canopy_cuda_task **task);

#endif
