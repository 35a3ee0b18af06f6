// Takes back the names that canopy_float16.h was given. No include guard on purpose. Written for Canopy.
#undef CANOPY_T
#undef CANOPY_T2
#undef CANOPY_RAW
#undef CANOPY_RAW2
#undef CANOPY_FORMAT
#undef CANOPY_WIDEN
#undef CANOPY_NARROW
#undef CANOPY_NAME
#undef CANOPY_BOTH
#undef CANOPY_TO
#undef CANOPY_FROM
#undef CANOPY_TO_MODE
#undef CANOPY_FROM_MODE
#undef CANOPY_NO_OPERATORS
