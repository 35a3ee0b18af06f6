/* Conversions between double and the 16-bit floats, rounded once, to nearest even. */
#ifndef CANOPY_HALF_H
#define CANOPY_HALF_H

#include "entry.h"

CANOPY_EXPORT uint16_t canopy_half_from_double(double value);
CANOPY_EXPORT uint16_t canopy_bfloat16_from_double(double value);
CANOPY_EXPORT float canopy_half_to_float(uint16_t bits);
CANOPY_EXPORT float canopy_bfloat16_to_float(uint16_t bits);

#endif
