/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uthash with Hsieh's hash function: the default one falls through between switch labels, of which
 * clang warns wherever the macro is used.
 */
#ifndef RONDE_HASH_H
#define RONDE_HASH_H

#define HASH_FUNCTION HASH_SFH
#include <uthash.h>

#endif
