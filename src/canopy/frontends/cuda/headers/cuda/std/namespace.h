// cuda::std holds what std holds, for both halves. Written for Canopy.
#pragma once
#include <cstddef>
namespace cuda {
namespace std {
using namespace ::std;
}
}  // namespace cuda
