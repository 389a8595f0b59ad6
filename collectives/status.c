/* SPDX-License-Identifier: Apache-2.0 */
#include "collectives/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[RONDE_ERROR_BYTES];

int ronde_error(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(message, sizeof message, format, args);
	va_end(args);
	static const char more[] = "…";
	if (n >= (int)sizeof message)
		memcpy(message + sizeof message - sizeof more, more, sizeof more);
	return status;
}

const char *ronde_error_message(void)
{
	return message;
}

const char *ronde_status_name(int status)
{
	switch (status) {
#define NAME(name, value, text)                                                                    \
	case value:                                                                                \
		return "RONDE_" #name;
		RONDE_STATUS_MAP(NAME)
#undef NAME
	default:
		return "RONDE_ERR_?";
	}
}

const char *ronde_status_text(int status)
{
	switch (status) {
#define TEXT(name, value, text)                                                                    \
	case value:                                                                                \
		return text;
		RONDE_STATUS_MAP(TEXT)
#undef TEXT
	default:
		return "unknown status";
	}
}
