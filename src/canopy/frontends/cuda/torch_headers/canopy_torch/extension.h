// All of torch's C++ interface that Canopy has. Written for Canopy.
#pragma once
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "accessor.h"
#include "binding.h"
#include "core.h"
#include "cuda.h"
#include "dispatch.h"
#include "tensor.h"
