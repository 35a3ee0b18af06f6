// The name under which programs include the primitives of pipelines.
#pragma once
#include "cuda_pipeline_primitives.h"
