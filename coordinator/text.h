/* SPDX-License-Identifier: Apache-2.0 */
/* Texts for people, put together piece by piece in memory of a fixed size. */
#ifndef RONDE_TEXT_H
#define RONDE_TEXT_H

#include <stddef.h>

/* Appends behind the `used` bytes of text. Returns what is used now; `bytes`: it was cut. */
size_t ronde_text_append(char *text, size_t bytes, size_t used, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Ends a text that was cut in "…", and not inside a character. Returns its length. */
size_t ronde_text_mark_cut(char *text, size_t bytes);

#endif
