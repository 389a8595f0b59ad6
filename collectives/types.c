/* SPDX-License-Identifier: Apache-2.0 */
/* Names and sizes of element types and reductions, and the version: tables of ronde.h as code. */
#include "ronde/ronde.h"

#define VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch
#define VERSION_TEXT(major, minor, patch) VERSION_TEXT_(major, minor, patch)

const char *ronde_version(void)
{
	return VERSION_TEXT(RONDE_VERSION_MAJOR, RONDE_VERSION_MINOR, RONDE_VERSION_PATCH);
}

/* The switches take an int: callers may hand in any number, and the enums' own type may be
 * unsigned. */

size_t ronde_dtype_bytes(ronde_dtype dtype)
{
	switch ((int)dtype) {
#define BYTES(name, value, bytes, text)                                                            \
	case value:                                                                                \
		return bytes;
		RONDE_DTYPE_MAP(BYTES)
#undef BYTES
	default:
		return 0;
	}
}

const char *ronde_dtype_name(ronde_dtype dtype)
{
	switch ((int)dtype) {
#define NAME(name, value, bytes, text)                                                             \
	case value:                                                                                \
		return text;
		RONDE_DTYPE_MAP(NAME)
#undef NAME
	default:
		return "?";
	}
}

const char *ronde_reduction_name(ronde_reduction reduction)
{
	switch ((int)reduction) {
#define NAME(name, value, text)                                                                    \
	case value:                                                                                \
		return text;
		RONDE_REDUCTION_MAP(NAME)
#undef NAME
	default:
		return "?";
	}
}
