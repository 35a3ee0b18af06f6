// The driver interface. Written for Canopy.
#pragma once
#include "canopy_host.h"
#include "canopy_driver_api.h"
