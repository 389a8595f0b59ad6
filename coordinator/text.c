/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t ronde_text_append(char *text, size_t bytes, size_t used, const char *format, ...)
{
	if (used >= bytes)
		return bytes;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text + used, bytes - used, format, args);
	va_end(args);
	return n < (int)(bytes - used) ? used + (size_t)n : bytes;
}

size_t ronde_text_mark_cut(char *text, size_t bytes)
{
	static const char more[] = "…";
	if (bytes < sizeof more)
		return bytes - 1;
	size_t at = bytes - sizeof more;
	while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
		at--;
	memcpy(text + at, more, sizeof more);
	return at + sizeof more - 1;
}
