/*
 * memory.h
 *		The importer's memory: a region that lives as long as the process,
 *		growing buffers, and the UTF-8 rules.
 *
 * Running out of memory is a refusal ("limit"), so nothing here returns NULL.
 */
#ifndef IMPORT_MEMORY_H
#define IMPORT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* count objects of a size, aligned to 8, contents undefined. */
extern void *region_get(size_t count, size_t size);

/* The same, all zero. */
extern void *region_get_zero(size_t count, size_t size);

/* A copy of length bytes with a zero byte after them. */
extern char *region_get_string(const char *bytes, size_t length);

/* Give back everything that region_get() gave (tests that parse many). */
extern void region_free(void);

/* Bytes that grow at their end; start with {0}. */
typedef struct Buffer
{
	char	   *data;
	size_t		size;
	size_t		capacity;
} Buffer;

/* Make room for more bytes after the present ones and return where. */
extern char *buffer_reserve(Buffer *buffer, size_t more);
extern void buffer_add(Buffer *buffer, const void *bytes, size_t size);
extern void buffer_print(Buffer *buffer, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern void buffer_free(Buffer *buffer);

/* Whether bytes are valid UTF-8 without a zero byte. */
extern bool text_is_valid(const char *bytes, size_t length);

/* Put '?' for whatever is not UTF-8 in a zero-terminated string. */
extern void text_make_valid(char *string);

#endif							/* IMPORT_MEMORY_H */
